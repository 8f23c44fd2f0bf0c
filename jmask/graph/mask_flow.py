"""What can happen to a mask at a layer: the words, their meaning, and their colours in tables and pictures."""

MASK_FLOW = {
    "given": "comes with the input",
    "made": "starts here",
    "used": "changes what is computed",
    "passed": "goes on as it is",
    "merged": "is combined with others",
    "changed": "goes on, changed",
    "pooled": "goes on without time: which rows are real",
    "ended": "is not needed any more",
    "dropped": "is lost: padding counts as data from here",
}

# Tones halfway between white and black: a contrast of at least 4.5 with both, as text and as the ground of white text.
COLOURS = {
    "given": "#168740",
    "made": "#168740",
    "used": "#8553f6",
    "passed": "#2e74d5",
    "merged": "#0d818f",
    "changed": "#b45f0b",
    "pooled": "#986e09",
    "ended": "#6f7682",
    "dropped": "#da3737",
}
