// Runs checks one after the other: a line each, "ok NAME" or "not ok NAME: why", then how many of how many.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const packages = createRequire(resolve(process.env.PEERS, "npm/index.js"));

/** A package of the folder that `make peers` fills. */
export const load = async (name) => import(pathToFileURL(packages.resolve(name)));

export async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

/** `after` is called when all is done: what was opened for the checks is closed. */
export async function run(checks, after) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      if (process.env.MARK) await fetch(`${process.env.MARK}/mark/${name}`); // for record.lua
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      failed++;
      console.log(`not ok ${name}: ${String(error.stack ?? error).replaceAll("\n", " | ")}`);
    }
  }
  await after?.();
  const all = Object.keys(checks).length;
  console.log(`${all - failed} of ${all}`);
  process.exit(failed ? 1 : 0);
}

/** A tool that a client lends, as both APIs have it. */
export const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the weather in a city",
    parameters: { type: "object", required: ["city"], properties: { city: { type: "string", description: "The city" } } },
  },
};

export const ages = { type: "object", required: ["age"], properties: { age: { type: "integer" } }, additionalProperties: false };
