// npm: @agentclientprotocol/sdk, its client against `stoke acp FILE`:  PEERS=FOLDER node acp.mjs STOKE FILE FOLDER_OF_SESSIONS
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Readable, Writable } from "node:stream";
import { load, run } from "./checks.mjs";

const [stoke, file, cwd] = process.argv.slice(2);
const acp = await load("@agentclientprotocol/sdk");
const { agent, client } = acp.methods;
const text = (words) => [{ type: "text", text: words }];

/** One process for a check; it ends with it. The sessions are those of the file. */
const connected = (check) => async () => {
  const child = spawn(stoke, ["acp", file, "--sim"], { stdio: ["pipe", "pipe", "ignore"] });
  const updates = [], asked = [];
  const app = acp.client({ name: "peer" })
    .onRequest(client.session.requestPermission, ({ params }) => {
      asked.push(params);
      const option = params.options.find((one) => one.kind === "allow_once");
      return { outcome: { outcome: "selected", optionId: option.optionId } };
    })
    .onNotification(client.session.update, ({ params }) => { updates.push(params.update); });
  const stream = acp.ndJsonStream(Writable.toWeb(child.stdin), Readable.toWeb(child.stdout));
  await app.connectWith(stream, async (context) => {
    const hello = await context.request(agent.initialize, { protocolVersion: acp.PROTOCOL_VERSION, clientCapabilities: {} });
    await check({ hello, updates, asked, ask: (method, params) => context.request(method, params),
      tell: (method, params) => context.notify(method, params),
      open: () => context.request(agent.session.new, { cwd, mcpServers: [] }) });
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.stdin.end();
  assert.equal(await ended, 0);
};

const kinds = (updates) => updates.map((update) => update.sessionUpdate);
const said = (updates) => updates.filter((update) => update.sessionUpdate === "agent_message_chunk")
  .map((update) => update.content.text).join("");

let kept;

await run({
  "initialize tells the version and what there is": connected(async ({ hello }) => {
    assert.equal(hello.protocolVersion, 1);
    assert.equal(hello.agentCapabilities.loadSession, true);
  }),

  "a turn: a call that is asked about, its result, the answer": connected(async ({ open, ask, updates, asked }) => {
    kept = (await open()).sessionId;
    const done = await ask(agent.session.prompt, { sessionId: kept, prompt: text('Write a note with text "milk"') });
    assert.equal(done.stopReason, "end_turn");
    assert.equal(asked.length, 1);
    const call = updates.find((update) => update.sessionUpdate === "tool_call");
    assert.equal(asked[0].toolCall.toolCallId, call.toolCallId);
    assert.ok(updates.some((update) => update.sessionUpdate === "tool_call_update" && update.status === "completed"));
    assert.match(said(updates), /milk/);
  }),

  "the session is listed, loaded and resumed by another process": connected(async ({ ask, updates }) => {
    const { sessions } = await ask(agent.session.list, { cwd });
    assert.equal(sessions[0].sessionId, kept);
    assert.match(sessions[0].title, /^Write a note/);
    await ask(agent.session.load, { sessionId: kept, cwd, mcpServers: [] });
    assert.deepEqual(kinds(updates), ["user_message_chunk", "tool_call", "tool_call_update", "agent_message_chunk"]);
    await ask(agent.session.resume, { sessionId: kept, cwd, mcpServers: [] });
  }),

  "a turn that is cancelled ends so, and the session goes": connected(async ({ open, ask, tell }) => {
    const { sessionId } = await open();
    const turn = ask(agent.session.prompt, { sessionId, prompt: text("A long story, please. ".repeat(50)) });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await tell(agent.session.cancel, { sessionId });
    assert.equal((await turn).stopReason, "cancelled");
    await ask(agent.session.delete, { sessionId });
    await ask(agent.session.delete, { sessionId: kept });
  }),

  "modes are the agents of the file; a session that is not there is an error": connected(async ({ open, ask }) => {
    const opened = await open();
    assert.deepEqual(opened.modes.availableModes.map((mode) => mode.id), ["clerk", "poet"]);
    await ask(agent.session.setMode, { sessionId: opened.sessionId, modeId: "poet" });
    await assert.rejects(ask(agent.session.prompt, { sessionId: "none", prompt: text("x") }), (error) => error.code === -32002);
  }),
});
