// Writes the last run of `make bench` to docs/performance.md: its figures, curves and raw results.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FROM = fileURLToPath(new URL('../../target/bench/', import.meta.url));
const TO = fileURLToPath(new URL('../../docs/performance/', import.meta.url));
const PAGE = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));

mkdirSync(TO, { recursive: true });
for (const file of readdirSync(FROM)) if (/^results\.json$|\.svg$/.test(file)) copyFileSync(FROM + file, TO + file);
const figures = readFileSync(`${FROM}figures.md`, 'utf8');
const page = readFileSync(PAGE, 'utf8');
const [begin, end] = ['<!-- begin: figures, by benches/support/record.mjs -->\n', '<!-- end: figures -->'];
const [before, rest] = page.split(begin);
const after = rest?.split(end)[1];
if (after === undefined) throw new Error(`${PAGE} has no place for the figures`);
writeFileSync(PAGE, `${before}${begin}${figures}${end}${after}`);
