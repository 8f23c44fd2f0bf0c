"""What is said when a mask is lost: the text, the line it points at, and how `jm.strict()` makes it an error."""

import inspect
import threading
import warnings

import jax
import jax.numpy as jnp
import pytest

import jmask as jm


class Forget(jm.Layer):
    """Says nothing about masks."""

    def call(self, params, inputs):
        return inputs * 2


class ForgetBoth(jm.Layer):
    def call(self, params, query, context):
        return query + context


class Outer(jm.Layer):
    """Hands masks on to a layer of its own."""

    raw_inputs = True
    inner: jm.Layer

    def call(self, params, inputs):
        return self.inner.apply(params["inner"], inputs)


@pytest.fixture
def x(rng):
    return jm.from_lengths(jnp.asarray(rng.normal(size=(3, 5, 7))), [5, 0, 2])


def drops(function):
    """The messages of the dropped masks of a call, and the lines that they point at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    assert {w.category for w in caught} <= {jm.MaskDroppedWarning}
    return [str(w.message) for w in caught], [(w.filename, w.lineno) for w in caught]


def this_line():
    return inspect.currentframe().f_back.f_lineno


def test_the_text_names_the_layer_the_argument_and_every_remedy(x):
    (message,), _ = drops(lambda: Forget(name="my_layer")(x))
    assert message == (
        "my_layer: the mask of `inputs` is dropped here, so what follows takes padding for data, because `Forget` does "
        "not say what becomes of it. Set `supports_masking = True` if the layer treats every step alone, define "
        "`compute_mask` if it changes the steps (return None to end the mask on purpose), or pass `mask=jm.NO_MASK`."
    )


def test_the_text_names_all_arguments_that_had_a_mask(x):
    assert "forget_both: the mask of `query`, `context` is" in drops(lambda: ForgetBoth()(x, x))[0][0]
    assert "forget_both: the mask of `context` is" in drops(lambda: ForgetBoth()(x.values, x))[0][0]


def test_the_remedies_work(x):
    class Passes(Forget):
        supports_masking = True

    class Ends(Forget):
        def compute_mask(self, inputs, mask):
            return None

    def run():
        assert isinstance(Passes()(x), jm.Masked)
        assert isinstance(Ends()(x), jax.Array)
        assert isinstance(Forget()(x, mask=jm.NO_MASK), jax.Array)
        assert isinstance(Forget()(x.values), jax.Array)

    assert drops(run) == ([], [])


def test_a_layer_of_layers_is_told_how_its_layers_get_the_mask(x):
    class Block(jm.Layer):
        inner: jm.Layer = Forget()

        def call(self, params, inputs):
            return self.inner.apply(params["inner"], inputs)

    (message,), _ = drops(lambda: Block().apply({"inner": {}}, x))
    assert message.startswith("block: the mask of `inputs` is dropped here")
    assert "Set `raw_inputs = True` to hand the masks on to its layers, `supports_masking = True` if" in message


def test_the_warning_points_at_the_line_of_the_user(x):
    lines = []

    def run():
        lines.append(this_line() + 1)
        return Forget()(x)

    assert drops(run)[1] == [(__file__, *lines)]


def test_the_warning_points_at_the_line_of_the_user_from_deep_inside(x):
    model = jm.Sequential([jm.layers.Activation("relu"), Forget(name="lossy")])
    lines = []

    def run():
        lines.append(this_line() + 1)
        return jax.jit(model.apply)({}, x)

    messages, places = drops(run)
    assert messages[0].startswith("sequential/lossy: ")
    assert places == [(__file__, *lines)]


def test_the_warning_points_at_the_line_of_the_user_who_makes_a_graph():
    node = jm.Input((None, 3), masked=True)
    lines = []

    def run():
        lines.append(this_line() + 1)
        return Forget()(node)

    messages, places = drops(run)
    assert messages[0].startswith("forget: ")
    assert places == [(__file__, *lines)]


def test_inside_a_layer_of_the_user_it_points_at_the_call_there(x):
    _, ((file, line),) = drops(lambda: Outer(Forget()).apply({"inner": {}}, x))
    code, first = inspect.getsourcelines(Outer.call)
    assert file == __file__
    assert "self.inner.apply" in code[line - first]


def test_the_path_goes_through_nested_layers(x):
    layer = Outer(Outer(Forget(name="lossy"), name="middle"), name="top")
    params = {"inner": {"inner": {}}}
    assert drops(lambda: layer.apply(params, x))[0][0].startswith("top/middle/lossy: ")

    model = jm.Sequential([layer], name="model")
    assert drops(lambda: model.apply({"top": params}, x))[0][0].startswith("model/top/middle/lossy: ")


def test_init_reports_each_drop_once_with_its_path(x, getkey):
    layer = Outer(Outer(Forget(name="lossy"), name="middle"), name="top")
    messages, _ = drops(lambda: layer.init(getkey(), x))
    assert [message.partition(":")[0] for message in messages] == ["top/middle/lossy"]
    with jm.strict(), pytest.raises(jm.MaskDroppedError, match=r"^top/middle/lossy: "):
        layer.init(getkey(), x)


def test_under_jit_it_warns_while_tracing_and_not_again(x):
    compiled = jax.jit(Forget().apply)
    assert len(drops(lambda: compiled({}, x))[0]) == 1
    assert drops(lambda: compiled({}, x)) == ([], [])


def test_strict_raises_with_the_same_text(x):
    text = drops(lambda: Forget()(x))[0][0]
    with jm.strict(), pytest.raises(jm.MaskDroppedError) as error:
        Forget()(x)
    assert str(error.value) == text
    assert isinstance(error.value, ValueError)


def test_strict_reaches_through_jit_grad_and_scan(x):
    functions = [
        jax.jit(lambda x: Forget()(x)),
        jax.grad(lambda x: Forget()(x).sum(), allow_int=True),
        lambda x: jax.lax.scan(lambda carry, _: (carry, Forget()(x)), 0, None, length=2),
    ]
    for function in functions:
        with jm.strict(), pytest.raises(jm.MaskDroppedError, match=r"^forget: "):
            function(x)


def test_strict_nests_and_ends_with_its_context(x):
    with jm.strict():
        with jm.strict(False):
            assert len(drops(lambda: Forget()(x))[0]) == 1
            with jm.strict(), pytest.raises(jm.MaskDroppedError):
                Forget()(x)
        with pytest.raises(jm.MaskDroppedError):
            Forget()(x)
    assert len(drops(lambda: Forget()(x))[0]) == 1


def test_strict_ends_when_the_block_fails(x):
    with pytest.raises(KeyError), jm.strict():
        raise KeyError
    assert len(drops(lambda: Forget()(x))[0]) == 1


def test_strict_is_a_decorator_too(x):
    @jm.strict()
    def run():
        return Forget()(x)

    with pytest.raises(jm.MaskDroppedError):
        run()


def test_strict_of_one_thread_is_not_that_of_another(x):
    found = []

    def other_thread():
        found.append(Forget()(x))

    with warnings.catch_warnings(), jm.strict():
        warnings.simplefilter("ignore")
        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
    assert len(found) == 1


def test_an_error_in_a_layer_says_where_it_is_once(x):
    class Broken(jm.Layer):
        supports_masking = True

        def call(self, params, inputs):
            raise KeyError("my own error")

    layer = Outer(Outer(Broken(), name="middle"), name="top")
    with pytest.raises(KeyError, match="my own error") as error:
        layer.apply({"inner": {"inner": {}}}, x)
    assert error.value.__notes__ == ["In layer `top/middle/broken`."]


def test_an_error_while_parameters_are_made_says_where_it_is_once(x, getkey):
    layer = Outer(Outer(jm.layers.Dense(3), name="middle"), name="top")
    with pytest.raises(ValueError, match="`Dense` works on the last axis") as error:
        layer.init(getkey(), jm.from_lengths(jnp.ones((3, 5)), [1, 2, 3]))
    notes = [note for note in error.value.__notes__ if note.startswith("In layer")]
    assert notes == ["In layer `top/middle/dense`."]


def test_the_path_is_back_after_an_error(x):
    class Broken(jm.Layer):
        def call(self, params, inputs):
            raise KeyError

    with pytest.raises(KeyError):
        Outer(Broken()).apply({"inner": {}}, x)
    assert drops(lambda: Forget()(x))[0][0].startswith("forget: ")
