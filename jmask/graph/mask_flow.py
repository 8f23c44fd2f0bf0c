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

# Middle tones, which stand out on both white and black pages.
COLOURS = {
    "given": "#168a41",
    "made": "#168a41",
    "used": "#8b5cf6",
    "passed": "#3b7dd8",
    "merged": "#0e8a99",
    "changed": "#c2660c",
    "pooled": "#b8860b",
    "ended": "#737a87",
    "dropped": "#dc4040",
}
