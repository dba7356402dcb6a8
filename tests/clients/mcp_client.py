"""PyPI: mcp, its client against `stoke mcp FILE`:  python mcp_client.py STOKE FILE URL. Both eras, over streams and at an address."""
import asyncio
import sys

from mcp import Client, MCPError, StdioServerParameters

from checks import run

STOKE, FILE, URL = sys.argv[1:]
STREAMS = StdioServerParameters(command=STOKE, args=["mcp", FILE, "--sim"])
WAYS = [(server, mode) for server in (STREAMS, URL) for mode in ("legacy", "auto", "2026-07-28")]


def everywhere(check):
    """The check in both eras, by both transports."""
    async def all_of_them():
        for server, mode in WAYS:
            failed = None
            async with Client(server, mode=mode) as client:
                try:
                    await check(client)
                except Exception as err:  # raised outside, where no task group wraps it
                    failed = err
            if failed:
                raise AssertionError(f"{'streams' if server is STREAMS else 'http'}, {mode}") from failed

    def once():
        asyncio.run(asyncio.wait_for(all_of_them(), 60))
    once.__name__ = check.__name__
    return once


@everywhere
async def names_and_versions(client):
    assert client.protocol_version >= "2025-06-18", client.protocol_version
    assert client.server_info is None or client.server_info.name == "mcp_offer", client.server_info
    if client.server_info:  # a client that is told its version asks for nothing
        assert client.server_capabilities.tools is not None


@everywhere
async def tools_are_listed_with_schemas(client):
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) >= {"add", "slow", "bug", "refuse", "delete", "poet"}, tools
    assert tools["add"].input_schema["properties"]["a"]["type"] == "number" and tools["add"].description == "Adds"


@everywhere
async def a_call_gives_content_and_structure(client):
    result = await client.call_tool("add", {"a": 1, "b": 2})
    assert not result.is_error and result.content[0].text == '{"sum":3}', result
    assert result.structured_content == {"sum": 3}, result


@everywhere
async def failures_are_results(client):
    for name, words in (("refuse", "not today"), ("bug", "a mistake of its own")):
        result = await client.call_tool(name, {})
        assert result.is_error and words in result.content[0].text, result
    result = await client.call_tool("add", {"a": "no number", "b": 2})
    assert result.is_error, result


@everywhere
async def an_unknown_tool_is_an_error(client):
    try:
        result = await client.call_tool("subtract", {})
    except MCPError as err:
        assert "subtract" in str(err), err
    else:
        assert result.is_error and "subtract" in result.content[0].text, result


@everywhere
async def calls_go_on_at_once(client):
    results = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 1}) for n in range(20)))
    assert [r.structured_content["sum"] for r in results] == [n + 1 for n in range(20)]


@everywhere
async def a_call_that_is_given_up_does_not_hold_others(client):
    try:
        await asyncio.wait_for(client.call_tool("slow", {}), 0.3)
        raise AssertionError("it came back")
    except (asyncio.TimeoutError, TimeoutError):
        pass
    assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"sum": 3}


run([names_and_versions, tools_are_listed_with_schemas, a_call_gives_content_and_structure, failures_are_results,
     an_unknown_tool_is_an_error, calls_go_on_at_once, a_call_that_is_given_up_does_not_hold_others])
