// Verifies requests with the npm library "http-message-signatures", as the platform does: its directory is argv[2].
// stdin: {publicKey, requests: [{method, url, headers}]}; stdout: [true | false | "error text"].
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.argv[2] + "/");
const { httpbis, createVerifier } = require("http-message-signatures");
const { publicKey, requests } = JSON.parse(readFileSync(0, "utf8"));
const verify = createVerifier(publicKey, "ecdsa-p384-sha384");
const results = [];
for (const request of requests) {
  try {
    const result = await httpbis.verifyMessage(
      {
        keyLookup: async ({ keyid }) => (keyid ? { id: keyid, algs: ["ecdsa-p384-sha384"], verify } : null),
        requiredParams: ["keyid", "alg", "created", "expires"],
        requiredFields: ["@method", "@authority", "@path", "authorization"],
        tolerance: 0,
      },
      request,
    );
    results.push(result);
  } catch (error) {
    results.push(String(error));
  }
}
process.stdout.write(JSON.stringify(results));
