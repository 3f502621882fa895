// Signs requests with the npm library "http-message-signatures", as the platform signs deliveries: its directory is
// argv[2]. A line of stdin: {url, headers, fields, name, key, keyid, alg, created, expires, params}; of stdout: headers.
// Headers that are signed already keep their signatures.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.argv[2] + "/");
const { httpbis, createSigner } = require("http-message-signatures");
for await (const line of createInterface({ input: process.stdin })) {
  const one = JSON.parse(line);
  const paramValues = {};
  if (one.created !== undefined) paramValues.created = one.created === null ? null : new Date(one.created * 1000);
  if (one.expires !== undefined) paramValues.expires = new Date(one.expires * 1000);
  if (one.alg !== undefined) paramValues.alg = one.alg;
  const message = await httpbis.signMessage(
    {
      key: createSigner(one.key, "ecdsa-p384-sha384", one.keyid),
      name: one.name,
      fields: one.fields,
      params: one.params,
      paramValues,
    },
    { method: "POST", url: one.url, headers: one.headers },
  );
  process.stdout.write(JSON.stringify(message.headers) + "\n");
}
