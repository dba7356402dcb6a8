"""PyPI: langchain-ollama and langchain-openai, against agents:  python langchain_lib.py URL."""
import asyncio
import sys

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from langchain_openai import ChatOpenAI, OpenAI
import pydantic

from checks import raised, run

URL = sys.argv[1]


class Person(pydantic.BaseModel):
    """A person."""
    age: int


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"rain in {city}"


def ollama_of(model="poet", **more):
    return ChatOllama(model=model, base_url=URL, **more)


def openai_of(model="poet", **more):
    return ChatOpenAI(model=model, base_url=URL + "/v1", api_key="any", max_retries=0, **more)


def both(check):
    for make in (ollama_of, openai_of):
        check(make)


def invoke():
    def check(make):
        reply = make().invoke([SystemMessage("Be brief."), HumanMessage("Say hello.")])
        assert reply.content and reply.usage_metadata["total_tokens"] > 0, reply
    both(check)


def stream():
    def check(make):
        whole, parts = None, 0
        for chunk in make().stream("Say hello."):
            whole, parts = chunk if whole is None else whole + chunk, parts + 1
        assert parts > 2 and whole.content == make().invoke("Say hello.").content, whole
    both(check)


def asynchronous():
    def check(make):
        replies = asyncio.run(make().abatch(["Say hello."] * 4))
        assert all(r.content for r in replies), replies
    both(check)


def a_tool_of_the_client():
    def check(make):
        model = make().bind_tools([get_weather])
        messages = [HumanMessage("What is the weather in Oslo?")]
        reply = model.invoke(messages)
        assert [(c["name"], c["args"]) for c in reply.tool_calls] == [("get_weather", {"city": "Oslo"})], reply
        call = reply.tool_calls[0]
        messages += [reply, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
        assert "rain in Oslo" in model.invoke(messages).content
    both(check)


def a_streamed_call():
    def check(make):
        whole = None
        for chunk in make().bind_tools([get_weather]).stream("What is the weather in Oslo?"):
            whole = chunk if whole is None else whole + chunk
        assert [(c["name"], c["args"]) for c in whole.tool_calls] == [("get_weather", {"city": "Oslo"})], whole
    both(check)


def structured_output():
    def check(make):
        for method in ("json_schema", "function_calling"):
            assert isinstance(make().with_structured_output(Person, method=method).invoke("I am 42"), Person), method
    both(check)


def a_conversation_of_three_turns():
    def check(make):
        messages = [SystemMessage("Be brief.")]
        for text in ("Say hello.", "And more.", "What is 17 * 23?"):
            messages.append(HumanMessage(text))
            messages.append(make("clerk").invoke(messages))
        assert "391" in messages[-1].content, messages
    both(check)


def options_are_hints():
    assert ollama_of(temperature=0, num_ctx=2048, num_predict=300, keep_alive="5m").invoke("Say hello.").content
    assert openai_of(temperature=0, max_tokens=300, seed=1, top_p=0.9).invoke("Say hello.").content


def a_model_that_is_looked_for_first():
    assert ollama_of(validate_model_on_init=True).invoke("Say hello.").content
    raised(ValueError, lambda: ollama_of("peot", validate_model_on_init=True))


def reasoning():
    reply = ollama_of("clerk", reasoning=True).invoke("What is 17 * 23?")
    assert "> calculator" in reply.additional_kwargs["reasoning_content"] and "391" in reply.content, reply


def completions():
    assert OllamaLLM(model="poet", base_url=URL).invoke("Hello")
    assert OpenAI(model="poet", base_url=URL + "/v1", api_key="any").invoke("Hello")


def responses():
    model = openai_of("clerk", use_responses_api=True)
    assert "391" in model.invoke("What is 17 * 23?").text
    assert "391" in "".join(chunk.text for chunk in model.stream("What is 17 * 23?"))
    reply = openai_of(use_responses_api=True).bind_tools([get_weather]).invoke("What is the weather in Oslo?")
    assert [(c["name"], c["args"]) for c in reply.tool_calls] == [("get_weather", {"city": "Oslo"})], reply


run([invoke, stream, asynchronous, a_tool_of_the_client, a_streamed_call, structured_output, a_conversation_of_three_turns,
     options_are_hints, a_model_that_is_looked_for_first, reasoning, completions, responses])
