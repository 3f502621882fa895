// Runs codes in @ethereumjs/evm: `evm.mjs < {"hardfork", "slotNumber", "codes": ["0x…"], "initcodes": ["0x…"]}`.
// Writes what each code returned ("halt" where it failed) and whether it is still there, and how much each initcode
// deployed.
import { Common, Mainnet } from "@ethereumjs/common";
import { createEVM } from "@ethereumjs/evm";
import { bytesToHex, createAccount, createAddressFromString, hexToBytes } from "@ethereumjs/util";

const GAS = 2n ** 53n;
const SUBJECT = createAddressFromString(`0x${"ac".repeat(20)}`);

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { hardfork, slotNumber, codes, initcodes } = JSON.parse(Buffer.concat(chunks));
const common = new Common({ chain: Mainnet, hardfork });
const header = { number: 1n, coinbase: SUBJECT, timestamp: 1n, difficulty: 0n, gasLimit: GAS, baseFeePerGas: 0n };
const block = { header: { ...header, slotNumber: BigInt(slotNumber) } };

const runs = [];
for (const code of codes) {
  const evm = await createEVM({ common });
  await evm.stateManager.putAccount(SUBJECT, createAccount({ nonce: 1n }));
  await evm.stateManager.putCode(SUBJECT, hexToBytes(code));
  const { execResult } = await evm.runCall({ to: SUBJECT, gasLimit: GAS, block });
  // EIP-6780: of those that executed SELFDESTRUCT, a transaction clears the accounts that it created itself.
  const cleared = [...(execResult.selfdestruct?.keys() ?? [])].filter((one) => execResult.createdAddresses?.has(one));
  const kept = cleared.length === 0 && bytesToHex(await evm.stateManager.getCode(SUBJECT)) === code;
  runs.push({ returned: execResult.exceptionError ? "halt" : bytesToHex(execResult.returnValue), kept });
}
const deployed = [];
for (const data of initcodes) {
  const evm = await createEVM({ common });
  const { execResult } = await evm.runCall({ data: hexToBytes(data), gasLimit: GAS, block });
  deployed.push(execResult.exceptionError ? "halt" : execResult.returnValue.length);
}
process.stdout.write(JSON.stringify({ runs, deployed }));
