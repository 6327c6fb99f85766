// Asks BinderHub's npm client for a build, as a page would, and prints each event as a line of JSON.
//
// node --experimental-detect-module binder_client.mjs PACKAGES VERSION ENDPOINT SPEC [--token=…] [--stay=MS] [--leave]
//
// VERSION is 0.4 or 0.5. --stay keeps the connection for that long after the end, as a page does that does not call
// close(); --leave closes after the first event.
import { pathToFileURL } from "node:url";

// The clients are made for pages; of a page they look at no more than this.
globalThis.window = globalThis;
globalThis.addEventListener = () => {};
globalThis.document = { cookie: "", visibilityState: "visible", addEventListener() {}, removeEventListener() {} };
console.log = console.error; // what the client says by itself is no event

const [packages, version, endpoint, spec, ...options] = process.argv.slice(2);
const option = (name) => options.find((o) => o.startsWith(`--${name}`))?.split("=")[1] ?? options.includes(`--${name}`);

const name = version === "0.4" ? "binderhub-client-0.4/lib/index.js" : "@jupyterhub/binderhub-client/lib/client.js";
const { BinderRepository } = await import(pathToFileURL(`${packages}/${name}`));
const url = new URL(endpoint);
const repository =
  version === "0.4"
    ? new BinderRepository(spec, url, undefined, true)
    : new BinderRepository(spec, url, { buildOnly: true, apiToken: option("token") || undefined });

for await (const event of repository.fetch()) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
  if (option("leave")) break;
  if (event.phase === "ready" || event.phase === "failed") break;
}
if (option("stay")) await new Promise((resolve) => setTimeout(resolve, Number(option("stay"))));
repository.close();
process.exit(0);
