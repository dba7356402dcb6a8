"""Runs checks one after the other: a line each, "ok NAME" or "not ok NAME: why", then how many of how many."""
import os
import sys
import traceback
import urllib.request

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get the weather in a city", "parameters": {
    "type": "object", "required": ["city"], "properties": {"city": {"type": "string", "description": "The city"}}}}}


def asks(content):
    return [{"role": "user", "content": content}]


def raised(kind, call):
    """The error of this kind that a call raises."""
    try:
        call()
    except kind as err:
        return err
    raise AssertionError("nothing was raised")


def run(checks):
    failed = 0
    for check in checks:
        try:
            if "MARK" in os.environ:  # for record.lua
                urllib.request.urlopen(f"{os.environ['MARK']}/mark/{check.__name__}").read()
            check()
            print("ok", check.__name__)
        except Exception:
            failed += 1
            print(f"not ok {check.__name__}:", " | ".join(traceback.format_exc().strip().splitlines()))
    print(len(checks) - failed, "of", len(checks))
    sys.exit(1 if failed else 0)
