"""The YAML file → frozen, validated objects; every mistake with its line and what to write instead.

`loader.load(path)` gives a `model.Config` or raises `ConfigError` with all that is wrong. This
package imports nothing by itself: `values`, `hours` and `numbers` are cheap without pydantic.
"""
