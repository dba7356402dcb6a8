"""PyPI: mcp, a server of it for our client:  python mcp_server.py [PORT]. Over standard streams, or at 127.0.0.1:PORT/mcp."""
import asyncio
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("peer", instructions="Be brief.")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("it did not work")


@server.tool()
async def steps(count: int, ctx: Context) -> str:
    """Tells its progress."""
    for n in range(count):
        await ctx.report_progress(n + 1, count)
    return "done"


@server.tool()
async def sleep(seconds: float) -> str:
    """Takes long."""
    await asyncio.sleep(seconds)
    return "slept"


@server.resource("note://first")
def note() -> str:
    """A note."""
    return "the first note"


@server.prompt()
def greet(name: str) -> str:
    """Greets."""
    return f"Say hello to {name}."


if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run("stdio")
