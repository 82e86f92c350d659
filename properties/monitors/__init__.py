"""The rules that must hold over a trace, each a small named monitor."""
