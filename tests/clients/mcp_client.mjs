// npm: @modelcontextprotocol/sdk, its client against `stoke mcp FILE`:  PEERS=FOLDER node mcp_client.mjs STOKE FILE URL
import assert from "node:assert/strict";
import { load, run } from "./checks.mjs";

const [stoke, file, url] = process.argv.slice(2);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

const transports = {
  streams: () => new StdioClientTransport({ command: stoke, args: ["mcp", file, "--sim"], stderr: "ignore" }),
  http: () => new StreamableHTTPClientTransport(new URL(url)),
};

/** The check by both transports. */
const everywhere = (check) => async () => {
  for (const [name, transport] of Object.entries(transports)) {
    const client = new Client({ name: "peer", version: "1.0.0" }, { capabilities: {} });
    await client.connect(transport());
    try {
      await check(client);
    } catch (error) {
      throw new Error(`${name}: ${error.stack ?? error}`);
    } finally {
      await client.close();
    }
  }
};

await run({
  names_and_capabilities: everywhere(async (client) => {
    assert.equal(client.getServerVersion().name, "mcp_offer");
    assert.ok(client.getServerCapabilities().tools);
    await client.ping();
  }),

  tools_are_listed_with_schemas: everywhere(async (client) => {
    const { tools } = await client.listTools();
    const names = tools.map((t) => t.name);
    for (const name of ["add", "bug", "delete", "poet", "refuse", "slow"]) assert.ok(names.includes(name), name);
    assert.equal(tools.find((t) => t.name === "add").inputSchema.properties.a.type, "number");
  }),

  a_call_gives_content_and_structure: everywhere(async (client) => {
    const result = await client.callTool({ name: "add", arguments: { a: 1, b: 2 } });
    assert.deepEqual([result.content[0].text, result.structuredContent], ['{"sum":3}', { sum: 3 }]);
  }),

  failures_are_results: everywhere(async (client) => {
    for (const [name, args] of [["refuse", {}], ["bug", {}], ["add", { a: "none", b: 1 }]]) {
      assert.ok((await client.callTool({ name, arguments: args })).isError, name);
    }
  }),

  an_agent_is_a_tool: everywhere(async (client) => {
    const result = await client.callTool({ name: "poet", arguments: { input: "The sea" } });
    assert.match(result.content[0].text, /You wrote: "The sea"/);
  }),

  resources_and_prompts: everywhere(async (client) => {
    const { resources } = await client.listResources();
    assert.deepEqual(resources.map((one) => one.uri), ["notes://today", "pixel://one"]);
    const { resourceTemplates } = await client.listResourceTemplates();
    assert.equal(resourceTemplates[0].uriTemplate, "notes://{day}/{part}");
    assert.equal((await client.readResource({ uri: "notes://mon/am" })).contents[0].text, "mon/am");
    assert.equal((await client.readResource({ uri: "pixel://one" })).contents[0].blob, "iVBORwA=");
    await assert.rejects(client.readResource({ uri: "notes://never/am" }), /not found/);
    const { prompts } = await client.listPrompts();
    assert.deepEqual(prompts.map((one) => one.name), ["chat", "review"]);
    const { messages } = await client.getPrompt({ name: "review", arguments: { code: "x" } });
    assert.equal(messages[0].content.text, "Review x kindly");
  }),

  a_tool_tells_how_far_it_is: everywhere(async (client) => {
    const notes = [];
    await client.callTool({ name: "count", arguments: { to: 3 } }, undefined, { onprogress: (note) => notes.push(note) });
    assert.deepEqual(notes.at(-1), { progress: 3, total: 3, message: "number 3" });
  }),

  a_call_can_be_cancelled: everywhere(async (client) => {
    await assert.rejects(client.callTool({ name: "slow", arguments: {} }, undefined, { signal: AbortSignal.timeout(300) }));
    assert.deepEqual((await client.callTool({ name: "add", arguments: { a: 1, b: 2 } })).structuredContent, { sum: 3 });
  }),
});
