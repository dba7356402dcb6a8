"""The models behind, passed through by `stoke serve FILE --models`, as the clients of PyPI see them:  python behind_lib.py URL."""
import sys

from langchain_ollama import OllamaEmbeddings
from langchain_openai import OpenAIEmbeddings
import ollama
import openai

from checks import asks, raised, run

URL = sys.argv[1]
native = ollama.Client(host=URL)
client = openai.OpenAI(base_url=URL + "/v1", api_key="any", max_retries=0)
CHAT, EMBED = "qwen2.5:3b", "nomic-embed-text"


def both_are_listed():
    names = [m.model for m in native.list().models]
    assert "poet:latest" in names and CHAT in names and EMBED + ":latest" in names, names
    assert {"poet", CHAT} <= {m.id for m in client.models.list()}


def shown_as_its_server_shows_it():
    shown = native.show(CHAT)
    assert shown.modelinfo["general.architecture"] != "stoke" and shown.details.parameter_size, shown
    assert "embedding" in native.show(EMBED).capabilities


def chat():
    assert native.chat(CHAT, asks("Say hello.")).message.content
    parts = list(native.chat(CHAT, asks("Say hello."), stream=True))
    assert len(parts) > 2 and parts[-1].done
    assert client.chat.completions.create(model=CHAT, messages=asks("Say hello.")).choices[0].message.content
    parts = list(client.chat.completions.create(model=CHAT, messages=asks("Say hello."), stream=True))
    assert parts[-1].choices[0].finish_reason == "stop"


def generate():
    assert native.generate(CHAT, "Say hello.", options={"num_predict": 3}).eval_count == 3
    assert native.generate(CHAT, "Say hello.", raw=True).response


def embeddings():
    two = native.embed(EMBED, ["a cat", "a dog"]).embeddings
    assert len(two) == 2 and len(two[0]) == 768
    assert native.embed(EMBED, "a cat").embeddings[0] == two[0]
    assert len(native.embeddings(EMBED, "a cat").embedding) == 768
    for form in ("float", "base64"):
        data = client.embeddings.create(model=EMBED, input=["a cat", "a dog"], encoding_format=form).data
        assert [d.index for d in data] == [0, 1]
    assert len(client.embeddings.create(model=EMBED, input="a cat").data[0].embedding) == 768


def langchain_embeddings():
    assert len(OllamaEmbeddings(model=EMBED, base_url=URL).embed_documents(["a", "b"])) == 2
    model = OpenAIEmbeddings(model=EMBED, base_url=URL + "/v1", api_key="any", check_embedding_ctx_length=False)
    assert len(model.embed_query("a")) == 768


def what_is_not_there():
    assert raised(ollama.ResponseError, lambda: native.chat("qwen2.5:3c", asks("?"))).status_code == 404
    raised(openai.NotFoundError, lambda: client.chat.completions.create(model="nobody", messages=asks("?")))


run([both_are_listed, shown_as_its_server_shows_it, chat, generate, embeddings, langchain_embeddings, what_is_not_there])
