// Bundles the action into the one committed file that runners start, `action/dist/index.mjs`. With `--check` it writes
// nothing, and fails if the committed file differs from the bundle of its sources.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const outfile = 'action/dist/index.mjs';
const isCheck = process.argv.includes('--check');

const { outputFiles, metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['action/src/index.mjs'],
  outfile,
  bundle: true,
  write: !isCheck,
  metafile: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  charset: 'utf8',
  logLevel: 'error',
  // Readable, so that anyone who pins the action can review it.
  banner: { js: '// Made from action/src by `make action`; not edited by hand.' },
});

const foreign = Object.keys(metafile.inputs).filter((path) => !path.startsWith('action/src/'));
if (foreign.length > 0) fail(`the action has no dependency, but the bundle has ${foreign.join(', ')}`);
if (isCheck && readFileSync(root + outfile, 'utf8') !== outputFiles[0].text) {
  fail(`${outfile} is not what action/src gives; run \`make action\` and commit it`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
