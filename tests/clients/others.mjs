// npm: @langchain/ollama, ai with @ai-sdk/openai-compatible, against agents:  PEERS=FOLDER node others.mjs URL
import assert from "node:assert/strict";
import { ages, collect, load, run } from "./checks.mjs";

const url = process.argv[2];
const { ChatOllama } = await load("@langchain/ollama");
const { generateText, streamText, jsonSchema, tool, stepCountIs, Output } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const compatible = createOpenAICompatible({ name: "stoke", baseURL: `${url}/v1`, apiKey: "any", includeUsage: true,
  supportsStructuredOutputs: true });

await run({
  async langchain_invokes_and_streams() {
    const model = new ChatOllama({ model: "poet", baseUrl: url });
    const whole = await model.invoke("Say hello.");
    const parts = await collect(await model.stream("Say hello."));
    assert.ok(whole.content && whole.usage_metadata.total_tokens > 0);
    assert.equal(parts.map((p) => p.content).join(""), whole.content);
  },

  async langchain_structured_output() {
    const model = new ChatOllama({ model: "poet", baseUrl: url }).withStructuredOutput(ages);
    assert.ok(Number.isInteger((await model.invoke("I am 42")).age));
  },

  async ai_text() {
    const { text, usage, finishReason } = await generateText({ model: compatible("poet"), prompt: "Say hello." });
    assert.ok(text && usage.outputTokens > 0 && finishReason === "stop");
  },

  async ai_stream_with_reasoning() {
    const result = streamText({ model: compatible("clerk"), prompt: "What is 17 * 23?" });
    assert.match((await collect(result.textStream)).join(""), /391/);
    assert.match(await result.reasoningText, /> calculator/);
    assert.ok((await result.usage).outputTokens > 0);
  },

  async ai_runs_a_tool_of_its_own() {
    const asked = [];
    const get_weather = tool({ description: "Get the weather in a city", execute: (args) => { asked.push(args); return "rain"; },
      inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }) });
    const settings = { model: compatible("poet"), prompt: "What is the weather in Oslo?", tools: { get_weather }, stopWhen: stepCountIs(3) };
    assert.match((await generateText(settings)).text, /rain/);
    assert.match(await streamText(settings).text, /rain/);
    assert.deepEqual(asked, [{ city: "Oslo" }, { city: "Oslo" }]);
  },

  async ai_structured_output() {
    const { output } = await generateText({ model: compatible("poet"), prompt: "I am 42",
      output: Output.object({ schema: jsonSchema(ages) }) });
    assert.ok(Number.isInteger(output.age));
  },
});
