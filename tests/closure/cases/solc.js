#!/usr/bin/env node
// Compiles a list of standard-json inputs with one compiler: `solc.js FOLDER_OF_SOLC < [input, …] > [output, …]`.
// The inputs carry all their sources: nothing is imported from here.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const solc = require(path.resolve(process.argv[2]));

const inputs = JSON.parse(fs.readFileSync(0, "utf8"));
const outputs = inputs.map((input) => JSON.parse(solc.compile(JSON.stringify(input))));
process.stdout.write(JSON.stringify({ version: solc.version(), outputs }));
