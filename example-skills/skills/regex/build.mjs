// Builds the component: node build.mjs OUTPUT

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const source = await readFile(here('skill.js'), 'utf8');
const { component } = await componentize(source, { witPath: here('../../../wit'), worldName: 'skill' });
await writeFile(process.argv[2], component);
