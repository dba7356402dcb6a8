"""PyPI: ollama, against agents:  python ollama_lib.py URL. Its answers are pydantic models: a field of a wrong type raises."""
import asyncio
import json
import sys

import ollama

from checks import asks, raised, run

URL = sys.argv[1]
client = ollama.Client(host=URL)


def list_and_show():
    models = client.list().models
    assert [m.model for m in models] == ["clerk:latest", "desk:latest", "poet:latest"], models
    assert all(m.modified_at.tzinfo and m.digest and m.details.family for m in models), models
    shown = client.show("clerk")
    assert shown.capabilities == ["completion", "tools", "thinking"], shown
    assert shown.modelinfo["general.architecture"] == "stoke" and shown.modified_at.tzinfo, shown


def ps():
    models = client.ps().models
    assert len(models) == 3 and all(m.expires_at.tzinfo and m.context_length > 0 for m in models), models


def chat():
    reply = client.chat("poet", asks("Say hello."))
    assert reply.done and reply.done_reason == "stop" and reply.message.content and reply.eval_count > 0, reply


def a_stream_says_what_the_whole_does():
    whole = client.chat("poet", asks("Say hello.")).message.content
    parts = list(client.chat("poet", asks("Say hello."), stream=True))
    assert "".join(p.message.content for p in parts) == whole
    assert [p.done for p in parts].index(True) == len(parts) - 1


def thoughts():
    reply = client.chat("clerk", asks("What is 17 * 23?"))
    assert reply.message.thinking.startswith("> calculator ") and "391" in reply.message.content, reply
    assert client.chat("clerk", asks("What is 17 * 23?"), think=False).message.thinking is None


def a_function_lent_as_a_tool():
    def get_weather(city: str) -> str:
        """Get the weather in a city.

        Args:
          city: The city
        """
        return f"rain in {city}"

    messages = asks("What is the weather in Oslo?")
    reply = client.chat("poet", messages, tools=[get_weather])
    call = reply.message.tool_calls[0]
    assert call.function.name == "get_weather" and call.function.arguments == {"city": "Oslo"}, reply
    messages += [reply.message, {"role": "tool", "tool_name": "get_weather", "content": get_weather(**call.function.arguments)}]
    assert "rain in Oslo" in client.chat("poet", messages, tools=[get_weather]).message.content


def format_shapes_the_answer():
    shape = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    assert isinstance(json.loads(client.chat("poet", asks("I am 42"), format=shape).message.content)["age"], int)


def generate():
    assert client.generate("poet", "Hello").response
    parts = list(client.generate("poet", "Hello", stream=True))
    assert parts[-1].done and "".join(p.response for p in parts)


def load_and_unload():
    assert client.generate("poet").done_reason == "load"
    assert client.generate("poet", keep_alive=0).done_reason == "unload"


def asynchronous():
    async def ask():
        lent = ollama.AsyncClient(host=URL)
        return await asyncio.gather(*(lent.chat("poet", asks(f"Say {n}.")) for n in range(8)))

    assert all(r.message.content for r in asyncio.run(ask()))


def errors():
    err = raised(ollama.ResponseError, lambda: client.chat("peot", asks("?")))
    assert err.status_code == 404 and "did you mean poet?" in err.error, err
    assert raised(ollama.ResponseError, lambda: client.embed("poet", "a")).status_code == 400
    assert raised(ollama.ResponseError, lambda: client.delete("poet")).status_code == 403


run([list_and_show, ps, chat, a_stream_says_what_the_whole_does, thoughts, a_function_lent_as_a_tool, format_shapes_the_answer,
     generate, load_and_unload, asynchronous, errors])
