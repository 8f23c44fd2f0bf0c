"""Pictures: every box and line is there, in its place, and the text is safe."""

import itertools
import re
import warnings
import xml.etree.ElementTree as ET
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.drawing.layout import lay_out
from jmask.graph.mask_flow import COLOURS
from tests.support.graphs import EXAMPLES, FEATURES, Mystery, solved

SVG = "{http://www.w3.org/2000/svg}"


def elements(drawing):
    """How often each class stands in the SVG."""
    return Counter(element.get("class") for element in ET.fromstring(drawing.svg).iter())


def texts(drawing):
    return [element.text for element in ET.fromstring(drawing.svg).iter(f"{SVG}text")]


def everything():
    """Made, used, passed, ended and dropped masks, a value without one, and a mask by itself."""
    x = jm.Input((None,), "int32", name="ids")
    h = L.Embedding(7, FEATURES, mask_zero=True, name="embed")(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.MaskDroppedWarning)
        lost = Mystery(name="mystery")(h)
    g = L.LSTM(3, return_sequences=True, name="lstm")(h)
    unmasked = L.Dense(3, name="free")(g, mask=jm.NO_MASK)
    again = L.Dense(3, name="again")(unmasked, mask=h.mask)
    return jm.Model(x, {"lost": lost, "pooled": L.GlobalAveragePooling1D(name="pool")(again)}, name="everything")


def test_boxes_lines_and_signs_are_all_there():
    drawing = jm.draw(everything())
    found = elements(drawing)
    assert (found["card"], found["io"]) == (7, 3)  # calls; one input and two outputs
    assert found["value"] - 1 == found["head"] == 9  # one of the lines is in the legend
    assert found["mask"] - 1 == 3 + 1 + 1 + 1 + 1  # out of the embedding, the LSTM, `h.mask`, `again` and the pooling
    assert found["cross"] == 1
    assert found["bar"] == 1
    assert found["tip"] == 5 + 3  # an arrow where a mask enters, a dot for each line where it is made
    for text in ("embed", "Embedding", "(batch, time, 2)", "ids", "int32", "lost", "pooled", "everything"):
        assert text in texts(drawing)
    words = Counter(text for text in texts(drawing) if text in ("made", "used", "passed", "ended", "dropped"))
    assert words == {"made": 2, "used": 4, "passed": 3, "ended": 2, "dropped": 2}  # one each in the legend


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_model_has_a_picture(name):
    found = solved(name)
    for expand_nested in (False, True):
        drawing = jm.draw(found.example.model, expand_nested=expand_nested)
        ET.fromstring(drawing.svg)
        assert drawing.svg == jm.draw(found.example.model, expand_nested=expand_nested).svg
        assert not re.search(r"\b(nan|inf)\b", drawing.svg.replace("fill:none", ""))
    shown = texts(jm.draw(found.example.model))
    assert all(name in shown for name in found.graph.names.values())


@pytest.mark.slow
def test_nested_models_are_one_box_or_drawn_inside():
    model = solved("nested").example.model
    plain, expanded = jm.draw(model), jm.draw(model, expand_nested=True)
    assert elements(plain)["card"] == 4
    assert "inside" not in elements(plain)
    assert elements(expanded)["inside"] == 3  # the inner model twice, and the head
    assert elements(expanded)["card"] == 1 + 2 * 2 + 2
    assert texts(expanded).count("inside") == 2  # the name of the inner input
    assert '  subgraph n1["inner · Model"]' in expanded.mermaid
    assert expanded.mermaid.count("subgraph") == expanded.mermaid.count("\n  end") == 3


@pytest.mark.slow
def test_calls_of_a_shared_layer_are_marked():
    drawing = jm.draw(solved("dictionaries").example.model)
    assert sorted(text for text in texts(drawing) if text.startswith("Embedding")) == [
        "Embedding",
        "Embedding · shared",
    ]


def test_text_is_escaped_and_shortened():
    name = "<script>&\"'" + "x" * 60 + "`\x00"
    model = jm.Model(x := jm.Input((2,), name='in"put'), L.Dense(1, name=name)(x), name="a <b> & c")
    drawing = jm.draw(model)
    shown = [text for text in texts(drawing) if "script" in text]
    assert shown == ["<script>&\"'" + "x" * 11 + "…" + "x" * 19 + "` "]
    assert "a <b> & c" in texts(drawing)
    titles = [element.text for element in ET.fromstring(drawing.svg).iter(f"{SVG}title")]
    assert any(name.replace("\x00", " ") in title for title in titles)
    code = drawing.mermaid
    assert "<script>" not in code
    assert '"in#34;put<br/>float32<br/>(batch, 2)"' in code


def test_it_is_readable_in_light_and_dark():
    style = ET.fromstring(jm.draw(everything()).svg).find(f"{SVG}style").text
    for page in ("@media(prefers-color-scheme:dark)", "[data-jp-theme-light=true]", "[theme=dark]", ".vscode-dark"):
        assert page in style
    rules = re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*\{", "", style))
    assert all(".jmask-drawing" in part for rule in rules for part in rule.split(","))  # nothing else on the page


def contrast(one, other):
    """By https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio, of colours such as "#17202e"."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("word", COLOURS)
def test_words_are_readable_on_any_page(word):
    ground = COLOURS[word]
    assert contrast(ground, "#ffffff") >= 4.5  # white text on it, and the word on a white terminal
    assert contrast(ground, "#000000") >= 4.5  # the word on a black terminal


def test_text_and_lines_stand_out_in_light_and_dark():
    style = ET.fromstring(jm.draw(everything()).svg).find(f"{SVG}style").text
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for rules in (light, dark[: dark.index("}}")]):
        coloured = re.findall(r"([^{}]+)\{(?:fill|stroke):(#\w{6})", rules)
        colours = {part: colour for names, colour in coloured for part in re.findall(r"jmask-drawing (\.\w+)", names)}
        for ground in (".paper", ".card", ".inside", ".io"):
            assert all(contrast(colours[text], colours[ground]) >= 4.5 for text in (".title", ".kind", ".shape"))
            assert all(contrast(colours[line], colours[ground]) >= 3 for line in (".value", ".mask", ".head", ".tip"))


def test_mermaid():
    x = jm.Input((None, 2), masked=True, name="x")
    with pytest.warns(jm.MaskDroppedWarning):
        model = jm.Model(x, Mystery()(x) + L.Dense(2)(x, mask=jm.NO_MASK), name="m")
    assert str(jm.draw(model)).splitlines() == [
        "flowchart TD",
        '  n0(["x<br/>float32<br/>(batch, time, 2)<br/>mask given"])',
        '  n1("mystery<br/>Mystery<br/>(batch, time, 2)<br/>mask dropped")',
        '  n2("dense<br/>Dense<br/>(batch, time, 2)<br/>mask ended")',
        '  n3("add<br/>Operator<br/>(batch, time, 2)")',
        '  n4(["output"])',
        "  n0 --> n1",
        "  n0 -.-x n1",
        "  n0 --> n2",
        "  n0 -.-o n2",
        "  n1 --> n3",
        "  n2 --> n3",
        "  n3 --> n4",
        "  style n0 stroke:#168740,stroke-width:2px",
        "  style n1 stroke:#da3737,stroke-width:2px",
        "  style n2 stroke:#6f7682,stroke-width:2px",
        "  linkStyle 3 stroke:#0d8476,stroke-width:2px",
        "  linkStyle 1 stroke:#da3737,stroke-width:2px",
    ]


@pytest.mark.slow
def test_the_numbers_of_styled_links_count_those_of_nested_models():
    lines = jm.draw(solved("nested").example.model, expand_nested=True).mermaid.splitlines()
    arrows = [line.split()[1] for line in lines if re.search(r" (-->|-\.-[>xo]) ", line)]
    (styled,) = [line.split()[1] for line in lines if "linkStyle" in line]
    assert [arrows[int(i)] for i in styled.split(",")] == ["-.->"] * arrows.count("-.->")


def test_outputs_and_inputs_have_names():
    x, y = jm.Input((2,)), jm.Input((2,))
    assert [t for t in texts(jm.draw(jm.Model([x, y], [x + y, x]))) if "put" in t] == [
        "input",
        "input_1",
        "output 0",
        "output 1",
    ]
    assert "output" in texts(jm.draw(jm.Model(x, [x * 2])))
    assert "score_0" in texts(jm.draw(jm.Model(x, {"score": (x * 2,)})))


@pytest.mark.slow
def test_a_sequential_is_drawn_with_an_example():
    model = jm.Sequential([L.Dense(3), L.Dense(4)], name="row")
    assert texts(jm.draw(model, jnp.ones((2, 5, 7))))[:4] == ["row", "input", "float32", "(batch, time, 7)"]
    with pytest.raises(ValueError, match="The shapes of this `Sequential` are not known yet"):
        jm.draw(model)


@pytest.mark.slow
def test_an_example_with_a_mask_draws_masks():
    model = jm.Model(x := jm.Input((None, FEATURES)), L.Dense(3)(x))
    assert "mask" not in elements(jm.draw(model))
    assert elements(jm.draw(model, jm.from_lengths(jnp.ones((2, 5, FEATURES)), [1, 2])))["mask"] == 3


@pytest.mark.slow
def test_saving(tmp_path):
    drawing = jm.draw(everything())
    for ending, expected in (
        (".svg", drawing.svg),
        (".SVG", drawing.svg),
        (".mmd", drawing.mermaid),
        (".md", f"```mermaid\n{drawing.mermaid}\n```"),
    ):
        drawing.save(tmp_path / f"model{ending}")
        assert (tmp_path / f"model{ending}").read_text(encoding="utf-8") == expected + "\n"
    drawing.save(str(tmp_path / "text.svg"))
    assert drawing._repr_svg_() == drawing.svg
    for name in ("model.png", "model", "model.svg.pdf"):
        with pytest.raises(ValueError, match=r"A drawing is saved as `.svg`, `.mmd` or `.md`; received"):
            drawing.save(tmp_path / name)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".SVG", ".md", ".mmd", ".svg", ".svg"]


# Layout


def random_graph(rng):
    """Sizes of some boxes and links from earlier to later ones; every box is linked."""
    num_boxes = int(rng.integers(2, 16))
    sizes = [(float(rng.integers(40, 300)), float(rng.integers(26, 90))) for _ in range(num_boxes)]
    links = [(int(rng.integers(0, target)), int(rng.integers(0, 2)), target) for target in range(1, num_boxes)]
    for _ in range(int(rng.integers(0, num_boxes))):
        source, target = sorted(rng.choice(num_boxes, 2, replace=False).tolist())
        links.append((source, int(rng.integers(0, 2)), target))
    return sizes, links


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_boxes_do_not_overlap_and_no_link_crosses_a_box(seed):
    sizes, links = random_graph(np.random.default_rng(seed))
    layout = lay_out(sizes, links)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.boxes, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert -0.01 <= left < right <= layout.width + 0.01
        assert -0.01 <= top < bottom <= layout.height + 0.01
        for other in boxes[:i]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    for (source, _, target), route in zip(links, layout.routes, strict=True):
        assert_route_is_clear(route, boxes[source], boxes[target], boxes)


def assert_route_is_clear(route, source, target, boxes):
    (start, _), (_, end) = route[0], route[-1]
    assert source[0] < start[0] < source[2]
    assert target[0] < end[0] < target[2]
    assert (start[1], end[1]) == pytest.approx((source[3], target[1]))
    for (x, top), (also_x, bottom) in route:  # vertical pieces
        assert x == also_x
        assert not any(box[0] < x < box[2] and box[1] < bottom - 0.1 and top + 0.1 < box[3] for box in boxes)
    for (_, (_, upper)), ((_, lower), _) in itertools.pairwise(route):  # bends, in a strip without boxes
        assert upper < lower
        assert not any(box[1] < lower - 0.1 and upper + 0.1 < box[3] for box in boxes)


@pytest.mark.slow
def test_links_lead_downwards_and_ends_at_one_box_are_apart():
    sizes, links = [(100.0, 40.0)] * 6, [(i, 0, 5) for i in range(5)]
    layout = lay_out(sizes, links)
    ends = sorted(route[-1][1][0] for route in layout.routes)
    assert min(np.diff(ends)) > 12
    assert all(route[0][0][1] < route[-1][1][1] for route in layout.routes)


@pytest.mark.slow
def test_a_chain_and_the_spine_of_a_residual_network_are_straight():
    chain = lay_out([(60.0 + 20 * i, 40.0) for i in range(12)], [(i, 0, i + 1) for i in range(11)])
    residual = [(i, 0, i + 1) for i in range(12)] + [(i, 0, i + 3) for i in range(0, 9, 3)]
    spine = lay_out([(100.0, 40.0)] * 13, residual)
    centres = [x + 30 + 10 * i for i, (x, _) in enumerate(chain.boxes)]
    assert np.ptp(centres) < 0.01
    assert np.ptp([x for x, _ in spine.boxes]) < 0.01


def test_crossings_are_undone_where_they_can_be():
    pairs = [(0, 0, 5), (1, 0, 4), (2, 0, 3)]  # three chains, in the wrong order
    layout = lay_out([(80.0, 30.0)] * 6, pairs)
    place = {box: x for box, (x, _) in enumerate(layout.boxes)}
    for i, (a, _, b) in enumerate(pairs):
        for c, _, d in pairs[:i]:
            assert (place[a] < place[c]) == (place[b] < place[d])


@pytest.mark.slow
def test_links_of_one_port_share_a_way_and_links_of_two_do_not():
    sizes = [(100.0, 40.0)] * 6
    chain = [(i, 0, i + 1) for i in range(5)]
    routes = lay_out(sizes, [*chain, (0, 1, 4), (0, 1, 5), (0, 2, 5)]).routes
    one, longer, other = routes[-3:]
    assert one[:-1] == longer[: len(one) - 1]
    assert all(a[0][0] != b[0][0] for a, b in zip(longer[1:-1], other[1:-1], strict=True))
