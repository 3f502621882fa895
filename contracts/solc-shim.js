#!/usr/bin/env node
// Dresses npm's solc as a native compiler: answers `--version` and `--standard-json` (on stdin), as forge and
// scripts/development/build_artifacts.py ask. Imports that the input does not carry are read relative to this folder.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
// The compiler is a program in WebAssembly that runs for seconds: V8 takes longer to optimise it than that saves.
require("node:v8").setFlagsFromString("--liftoff-only");
const solc = require("solc");

function readImport(name) {
  const file = path.resolve(__dirname, name);
  if (!file.startsWith(__dirname + path.sep)) return { error: `${name} is outside ${__dirname}` };
  try {
    return { contents: fs.readFileSync(file, "utf8") };
  } catch (error) {
    return { error: error.message };
  }
}

if (process.argv.includes("--version")) {
  // Forge reads the version after "Version: "; npm's own text is "0.8.37+commit.….Emscripten.clang".
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: readImport }));
} else {
  console.error("usage: solc-shim.js --version | --standard-json < input.json");
  process.exitCode = 2;
}
