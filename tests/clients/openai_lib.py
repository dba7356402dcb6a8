"""PyPI: openai, against agents:  python openai_lib.py URL."""
import json
import sys

import openai
import pydantic

from checks import WEATHER, asks, raised, run

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="any", max_retries=0)
create = client.chat.completions.create


class Person(pydantic.BaseModel):
    age: int


def models():
    assert [m.id for m in client.models.list()] == ["clerk", "desk", "poet"]
    assert client.models.retrieve("poet").owned_by


def chat():
    reply = create(model="poet", messages=asks("Say hello."), temperature=0, max_tokens=500, user="me")
    assert reply.choices[0].message.content and reply.choices[0].finish_reason == "stop", reply
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0, reply


def a_stream_with_usage():
    parts = list(create(model="poet", messages=asks("Say hello."), stream=True, stream_options={"include_usage": True}))
    whole = create(model="poet", messages=asks("Say hello.")).choices[0].message.content
    assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == whole
    assert parts[-1].choices == [] and parts[-1].usage.completion_tokens > 0 and parts[-2].choices[0].finish_reason == "stop"


def the_helper_that_gathers_a_stream():
    with client.chat.completions.stream(model="clerk", messages=asks("What is 17 * 23?")) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds, kinds
    assert "391" in final.choices[0].message.content, final


def a_tool_of_the_client():
    messages = asks("What is the weather in Oslo?")
    reply = create(model="poet", messages=messages, tools=[WEATHER], tool_choice="auto").choices[0]
    assert reply.finish_reason == "tool_calls", reply
    call = reply.message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Oslo"} and call.id and call.type == "function", call
    messages += [reply.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert "rain" in create(model="poet", messages=messages, tools=[WEATHER]).choices[0].message.content


def a_streamed_call_is_gathered():
    with client.chat.completions.stream(model="poet", messages=asks("What is the weather in Oslo?"), tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls[0].function.name == "get_weather", choice


def a_pydantic_answer():
    reply = client.chat.completions.parse(model="poet", messages=asks("I am 42"), response_format=Person)
    assert isinstance(reply.choices[0].message.parsed, Person), reply


def a_conversation_of_three_turns():
    messages = [{"role": "system", "content": "Be brief."}]
    for text in ("Say hello.", "And more.", "What is 17 * 23?"):
        messages.append({"role": "user", "content": text})
        messages.append(create(model="clerk", messages=messages).choices[0].message)
    assert "391" in messages[-1].content, messages


def parts_and_a_developer():
    reply = create(model="desk", messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [
        {"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]}])
    assert reply.choices[0].message.content, reply


def completions():
    assert client.completions.create(model="poet", prompt="Hello").choices[0].text
    parts = list(client.completions.create(model="poet", prompt="Hello", stream=True))
    assert "".join(p.choices[0].text for p in parts) and parts[-1].choices[0].finish_reason == "stop"


def responses():
    reply = client.responses.create(model="poet", input="Say hello.", instructions="Be brief.", store=False)
    assert reply.status == "completed" and "Say hello." in reply.output_text and reply.usage.total_tokens > 0, reply


def responses_that_go_on():
    first = client.responses.create(model="clerk", input="Say hello.")
    second = client.responses.create(model="clerk", input="What is 17 * 23?", previous_response_id=first.id)
    assert "391" in second.output_text and second.previous_response_id == first.id, second
    err = raised(openai.BadRequestError, lambda: client.responses.create(model="clerk", input="?", previous_response_id="resp_none"))
    assert "resp_none" in err.message, err


def a_streamed_response():
    with client.responses.stream(model="poet", input="Say hello.") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert "response.output_text.delta" in kinds and "Say hello." in final.output_text, final


def a_response_that_calls():
    tool = {"type": "function", **WEATHER["function"]}
    reply = client.responses.create(model="poet", input="What is the weather in Oslo?", tools=[tool])
    call = next(item for item in reply.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"city": "Oslo"}, call
    reply = client.responses.create(model="poet", previous_response_id=reply.id, tools=[tool],
                                    input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
    assert "rain" in reply.output_text, reply


def a_pydantic_response():
    assert isinstance(client.responses.parse(model="poet", input="I am 42", text_format=Person).output_parsed, Person)


def errors():
    err = raised(openai.NotFoundError, lambda: create(model="peot", messages=asks("?")))
    assert err.code == "model_not_found" and "did you mean poet?" in err.message, err
    assert raised(openai.BadRequestError, lambda: create(model="poet", messages=[])).type == "invalid_request_error"
    raised(openai.BadRequestError, lambda: client.embeddings.create(model="poet", input="a"))


run([models, chat, a_stream_with_usage, the_helper_that_gathers_a_stream, a_tool_of_the_client, a_streamed_call_is_gathered,
     a_pydantic_answer, a_conversation_of_three_turns, parts_and_a_developer, completions, responses,
     responses_that_go_on, a_streamed_response, a_response_that_calls, a_pydantic_response, errors])
