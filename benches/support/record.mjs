// Writes the last run of `make bench` to docs/performance.md: its figures, curves and raw results.

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FROM = fileURLToPath(new URL('../../target/bench/', import.meta.url));
const TO = fileURLToPath(new URL('../../docs/performance/', import.meta.url));
const PAGE = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));

mkdirSync(TO, { recursive: true });
for (const file of readdirSync(FROM)) if (/^results\.json$|\.svg$/.test(file)) copyFileSync(FROM + file, TO + file);
let page = readFileSync(PAGE, 'utf8');
for (const name of ['figures', 'proxy']) {
  const [begin, end] = [`<!-- begin: ${name}, by benches/support/record.mjs -->\n`, `<!-- end: ${name} -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`${PAGE} has no place for ${name}`);
  // A run of other parts leaves no figures of the proxy.
  if (existsSync(`${FROM}${name}.md`)) page = `${before}${begin}${readFileSync(`${FROM}${name}.md`, 'utf8')}${end}${after}`;
}
writeFileSync(PAGE, page);
