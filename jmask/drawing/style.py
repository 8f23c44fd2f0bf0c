"""How pictures of models look: colours for light and dark pages, and the space that text takes."""

import unicodedata

MASK = "#0d8476"  # the colour of mask lines
CROSS = "#da3737"

_SANS = "font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_ALWAYS = {
    "text": _SANS,
    ".title": "font-size:15px;font-weight:600",
    ".name": "font-size:13px;font-weight:600",
    ".kind": "font-size:12px",
    ".shape": f"font-size:11.5px;{_MONO}",
    ".small": "font-size:11px",
    ".word": "font-size:10.5px;font-weight:600",
    ".value,.mask,.bar,.cross": "fill:none;stroke-linecap:round;stroke-linejoin:round",
    ".value": "stroke-width:1.6",
    ".mask": "stroke-width:2;stroke-dasharray:4.5 3.8",
    ".bar,.cross": "stroke-width:2.4",
    ".cross": f"stroke:{CROSS}",
}
_LIGHT = {
    ".paper": "fill:#fbfbfd;stroke:#e3e6ec",
    ".card": "fill:#ffffff;stroke:#c3cad5",
    ".inside": "fill:#f1f4f8;stroke:#c3cad5",
    ".io": "fill:#e9eef6;stroke:#a9b4c4",
    ".title,.name": "fill:#17202e",
    ".kind,.small": "fill:#5d6678",
    ".shape": "fill:#344054",
    ".value": "stroke:#39455a",
    ".head": "fill:#39455a",
    ".mask,.bar": f"stroke:{MASK}",
    ".tip": f"fill:{MASK}",
}
_DARK = {
    ".paper": "fill:#15181e;stroke:#2c323c",
    ".card": "fill:#242932;stroke:#4a5362",
    ".inside": "fill:#1b1f27;stroke:#4a5362",
    ".io": "fill:#2d3643;stroke:#5d6a7d",
    ".title,.name": "fill:#edf1f7",
    ".kind,.small": "fill:#9aa5b6",
    ".shape": "fill:#cdd5e1",
    ".value": "stroke:#b9c3d1",
    ".head": "fill:#b9c3d1",
    ".mask,.bar": "stroke:#2cc0ae",
    ".tip": "fill:#2cc0ae",
}
# A notebook says whether it is dark; elsewhere the system setting decides.
_DARK_PAGES = ("[data-jp-theme-light=false]", "[theme=dark]", "[data-theme=dark]", ".vscode-dark")
_LIGHT_PAGES = ("[data-jp-theme-light=true]", "[theme=light]", "[data-theme=light]", ".vscode-light")

_WIDTHS = {**dict.fromkeys("iIl.,:;'|!", 0.34), **dict.fromkeys("fjrt()[]-/ ", 0.44), **dict.fromkeys("mwMW@%", 0.96)}


def css(scope: str = ".jmask-drawing") -> str:
    """The style sheet: light, or dark if the page, or else the system, is dark."""
    dark_pages = "".join(_rules(_DARK, f"{page} {scope}") for page in _DARK_PAGES)
    light_pages = "".join(_rules(_LIGHT, f"{page} {scope}") for page in _LIGHT_PAGES)
    size = f"@media all{{{scope}{{max-width:100%;height:auto}}}}"  # not for programs that read `auto` as 0
    dark_system = f"@media(prefers-color-scheme:dark){{{_rules(_DARK, scope)}}}"
    return size + _rules(_ALWAYS, scope) + _rules(_LIGHT, scope) + dark_system + dark_pages + light_pages


def text_width(text: str, size: float, *, is_bold: bool = False, is_mono: bool = False) -> float:
    """The approximate width of a text in pixels; rather too wide, since the reader's font is unknown."""
    ems = sum(_ems(c, is_mono) for c in text)
    return ems * size * (1.07 if is_bold else 1.0)


def shorten(text: str, length: int) -> str:
    """The text in printable characters, with an ellipsis in the middle if it is longer than `length`."""
    text = "".join(c if c.isprintable() else " " for c in text)
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - half - 1]}…{text[-half:]}"


def _ems(c: str, is_mono: bool) -> float:
    if unicodedata.east_asian_width(c) in "WF":
        return 1.05
    if is_mono:
        return 0.61
    return _WIDTHS.get(c, 0.72 if c.isupper() else 0.62)


def _rules(rules: dict[str, str], scope: str) -> str:
    return "".join(
        ",".join(f"{scope} {part}" for part in selector.split(",")) + f"{{{declarations}}}"
        for selector, declarations in rules.items()
    )
