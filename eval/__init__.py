"""Measures how well Kotae finds, answers and refuses; import with `from eval.x import y`.

`import eval.x` would hide the builtin `eval`.
"""
