"""The table of layers that both libraries have, with the options that matter."""

from jmask.protocol.options import ACTIVATIONS
from tests.support.beside_keras.pair import as_list, keys, of, pair, steps, vector, with_state, words

TWO = (steps(3), steps(3))

STEPWISE = [
    pair(of("Embedding", 11, 4), words(11)),
    pair(of("Dense", 4), masked=True),
    pair(of("Dense", 4, activation="gelu", use_bias=False), masked=True),
    pair(of("EinsumDense", "btf,fhd->bthd", (None, 2, 5), bias_axes="hd", activation="tanh")),
    pair(of("EinsumDense", "bthd,hde->bte", (None, 5), bias_axes="e"), steps(2, 3)),
    pair(of("EinsumDense", "...x,xy->...y", 5)),
    pair(of("Identity"), masked=True),
    *(pair(of("Activation", name), masked=True) for name in sorted(ACTIVATIONS)),
    pair(of("ReLU", 0.9, negative_slope=0.2, threshold=0.3), masked=True),
    pair(of("LeakyReLU", 0.15), masked=True),
    pair(of("PReLU", shared_axes=[1]), masked=True),
    pair(of("ELU", 0.7), masked=True),
    pair(of("Softmax")),
    pair(of("Softmax", axis=1)),
    *(pair(of(name, 0.5), masked=True) for name in ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")),
    pair(of("AlphaDropout", 0.5), masked=True),
    pair(of("TimeDistributed", of("Dense", 4)), masked=True),
    pair(of("TimeDistributed", of("LSTM", 2)), steps(4, 3)),
    pair(of("TimeDistributed", of("Conv1D", 2, 3, padding="same")), steps(4, 3)),
]

NORMALISATION = [
    pair(of("LayerNormalization"), masked=True),
    pair(of("LayerNormalization", epsilon=0.3, center=False), masked=True),
    pair(of("LayerNormalization", scale=False), masked=True),
    pair(of("RMSNormalization")),
    pair(of("RMSNormalization", epsilon=0.3)),
    pair(of("UnitNormalization"), masked=True),
    pair(of("UnitNormalization", axis=1)),
    pair(of("GroupNormalization", 2), steps(6)),
    pair(of("GroupNormalization", -1, epsilon=0.3, center=False, scale=False), steps(6)),
    pair(of("GroupNormalization", 1), steps(2, 6)),
]

MERGING = [
    *(pair(of(name), *TWO, steps(3), masked=True, arrange=as_list) for name in ("Add", "Average")),
    *(pair(of(name), *TWO, masked=True, arrange=as_list) for name in ("Subtract", "Multiply", "Maximum", "Minimum")),
    pair(of("Concatenate"), steps(3), steps(2), masked=True, arrange=as_list),
    pair(of("Concatenate", axis=1), steps(3), keys(3), masked="values", arrange=as_list),
    pair(of("Dot", 2), steps(3), keys(3), arrange=as_list),
    pair(of("Dot", 2, normalize=True), steps(3), keys(3), arrange=as_list),
    pair(of("Dot", 1), steps(3), steps(2), arrange=as_list),
    pair(of("Dot", (1, 1), normalize=True), steps(3), steps(2), arrange=as_list),
]

RESHAPING = [
    pair(of("Flatten"), vector(2, 3)),
    pair(of("Reshape", (-1, 2, 3)), steps(6)),
    pair(of("Reshape", (-1, 3)), steps(6)),
    pair(of("Permute", (1, 3, 2)), steps(2, 3)),
    pair(of("RepeatVector", 4), vector(3)),
    pair(of("Cropping1D", (1, 0))),
    pair(of("Cropping1D", 1)),
    pair(of("ZeroPadding1D", (2, 1))),
    pair(of("UpSampling1D", 3)),
]

CONVOLUTION = [
    pair(of("Conv1D", 4, 3)),
    pair(of("Conv1D", 4, 3, padding="same", activation="tanh")),
    pair(of("Conv1D", 4, 2, padding="causal", dilation_rate=2, use_bias=False)),
    pair(of("Conv1D", 4, 2, padding="same", strides=2)),
    pair(of("Conv1D", 4, 2, strides=2)),
    pair(of("Conv1D", 4, 3, padding="causal", strides=2)),
    pair(of("Conv1D", 4, 3, padding="same", groups=2), steps(6)),
    pair(of("DepthwiseConv1D", 3, depth_multiplier=2)),
    pair(of("DepthwiseConv1D", 2, padding="same", strides=2)),
    pair(of("SeparableConv1D", 4, 3, depth_multiplier=2)),
    pair(of("SeparableConv1D", 4, 3, padding="same", activation="relu")),
    pair(of("Conv1DTranspose", 4, 3)),
    pair(of("Conv1DTranspose", 4, 3, strides=2, padding="same", use_bias=False)),
    pair(of("Conv1DTranspose", 4, 2, strides=3)),
    pair(of("Conv1DTranspose", 4, 3, strides=2, padding="same", output_padding=0)),
    pair(of("Conv1DTranspose", 4, 3, dilation_rate=2)),
    pair(of("MaxPooling1D")),
    pair(of("MaxPooling1D", 3, strides=2, padding="same")),
    pair(of("AveragePooling1D", 2)),
    pair(of("AveragePooling1D", 3, strides=1, padding="same")),
    pair(of("GlobalAveragePooling1D"), masked=True),
    pair(of("GlobalAveragePooling1D", keepdims=True), masked=True),
    pair(of("GlobalMaxPooling1D")),
    pair(of("GlobalMaxPooling1D", keepdims=True)),
]

SEQUENCES = {"return_sequences": True}
STATE = {"return_sequences": True, "return_state": True}

RECURRENT = [
    *(pair(of(name, 2, **options), masked=True) for name in ("SimpleRNN", "GRU", "LSTM") for options in ({}, STATE)),
    *(
        pair(of(name, 2, **STATE, go_backwards=True), masked="values", theirs={"zero_output_for_mask": True})
        for name in ("SimpleRNN", "GRU", "LSTM")
    ),
    pair(of("SimpleRNN", 2, **SEQUENCES, activation="relu", use_bias=False), masked=True),
    pair(of("GRU", 2, **STATE, reset_after=False), masked=True),
    pair(of("GRU", 2, **SEQUENCES, use_bias=False), masked=True),
    pair(of("GRU", 2, **SEQUENCES, activation="softsign", recurrent_activation="hard_sigmoid"), masked=True),
    pair(of("LSTM", 2, **SEQUENCES, activation="relu", recurrent_activation="tanh"), masked=True),
    pair(of("LSTM", 2, use_bias=False, unroll=True), masked=True),
    pair(of("LSTM", 2, return_state=True, go_backwards=True), masked=True),
    pair(of("SimpleRNN", 2, **STATE), steps(3), vector(2), arrange=with_state),
    pair(of("GRU", 2), steps(3), vector(2), arrange=with_state),
    pair(of("LSTM", 2, **STATE), steps(3), vector(2), vector(2), arrange=with_state),
    *(
        pair(of("Bidirectional", of("GRU", 2, return_sequences=True), merge_mode=mode), masked=True)
        for mode in ("concat", "sum", "mul", "ave", None)
    ),
    pair(of("Bidirectional", of("LSTM", 2)), masked=True),
    pair(of("Bidirectional", of("LSTM", 2, **STATE)), masked=True),
    pair(
        of("Bidirectional", of("SimpleRNN", 2), backward_layer=of("SimpleRNN", 4, activation="relu")),
        theirs={"backward_layer": of("SimpleRNN", 4, activation="relu", go_backwards=True, name="backward")},
        masked=True,
    ),
    pair(of("Bidirectional", of("GRU", 2, **STATE)), steps(3), vector(2), vector(2), arrange=with_state),
    *(pair(of("RNN", of(f"{name}Cell", 2), **STATE), masked=True) for name in ("SimpleRNN", "GRU", "LSTM")),
    pair(of("RNN", of("StackedRNNCells", [of("GRUCell", 2), of("LSTMCell", 4)]), **STATE), masked=True),
    pair(of("RNN", [of("LSTMCell", 4), of("SimpleRNNCell", 2)], go_backwards=True), masked=True),
    pair(of("ConvLSTM1D", 2, 3, strides=2), steps(7, 3)),
    pair(of("ConvLSTM1D", 2, 4, padding="same", dilation_rate=2, **STATE), steps(7, 3)),
    pair(of("ConvLSTM1D", 2, 3, go_backwards=True), steps(7, 3), vector(5, 2), vector(5, 2), arrange=with_state),
]

CAUSAL = {"ours": {"use_causal_mask": True}, "call": {"use_causal_mask": True}}
CROSS = (steps(3), keys(3))

ATTENTION = [
    pair(of("Attention"), *CROSS, masked=True, arrange=as_list),
    pair(of("Attention", use_scale=True), steps(3), keys(2), keys(3), masked=True, arrange=as_list),
    pair(of("Attention", score_mode="concat", use_scale=True), *CROSS, masked=True, arrange=as_list),
    pair(of("Attention", use_scale=True), *TWO, arrange=as_list, **CAUSAL),
    pair(of("AdditiveAttention"), *CROSS, masked=True, arrange=as_list),
    pair(of("AdditiveAttention", use_scale=False), *TWO, arrange=as_list, **CAUSAL),
    pair(of("MultiHeadAttention", 2, 4), *CROSS, masked=True),
    pair(
        of("MultiHeadAttention", 2, 4, value_dim=2, output_shape=5),
        *(steps(3), keys(2), keys(5)),
        masked=True,
        theirs={"dropout": 0.1},  # and not in training: only so does Keras take another width of values
    ),
    pair(of("MultiHeadAttention", 2, 4, use_bias=False), *TWO, **CAUSAL),
    pair(of("MultiHeadAttention", 2, 4, sliding_window=2), *TWO),
    pair(of("MultiHeadAttention", 2, 4, sliding_window=2), *TWO, **CAUSAL),
    pair(of("GroupQueryAttention", 2, 4, 2), *CROSS, masked=True),
    pair(of("GroupQueryAttention", 2, 4, 1, use_bias=False), *TWO, **CAUSAL),
    pair(of("GroupQueryAttention", 2, 4, 2, sliding_window=3), *TWO),
    pair(of("MultiHeadAttention", 2, 4, use_gate=True), *CROSS, masked=True),
    pair(of("GroupQueryAttention", 2, 4, 2, use_gate=True, use_bias=False), *TWO, **CAUSAL),
]

PAIRS = [*STEPWISE, *NORMALISATION, *MERGING, *RESHAPING, *CONVOLUTION, *RECURRENT, *ATTENTION]
