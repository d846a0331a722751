// How the demo looks.

const colored = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colored ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, red, green, cyan] = [1, 2, 31, 32, 36].map(paint);

let steps = 0;

export const say = (text) => console.log(`\n${bold(text)}`);

export function step(title) {
  steps += 1;
  console.log(`\n${bold(`${steps}. ${title}`)}`);
}

/** The expectations so far: `{what, holds}`. */
export const checks = [];

/** One expectation of the story; the demo fails when one does. */
export function expect(what, holds) {
  checks.push({ what, holds });
  (holds ? good : bad)(what);
}

export const note = (text) => console.log(`   ${text}`);
export const good = (text) => console.log(`   ${green('✔')} ${text}`);
export const bad = (text) => console.log(`   ${red('✘')} ${text}`);
export const claim = (name, value) => console.log(`      ${dim(name.padEnd(18))} ${value}`);

/** A file, with the numbers of its lines. */
export function source(name, text) {
  console.log(`   ${dim(name)}`);
  text.trimEnd().split('\n').forEach((line, index) => console.log(`   ${dim(String(index + 1).padStart(4))}  ${line}`));
}

/** A request, as a `curl` command. */
export function request(method, url, headers) {
  const options = Object.entries(headers).map(([name, value]) => `-H "${name}: ${value}"`);
  console.log(`   ${cyan(`$ curl -X ${method} ${options.join(' ')} '${url}'`)}`);
}

/** An answer: a status, a body, or both. */
export function answer(...parts) {
  const text = parts.map((part) => (typeof part === 'object' ? shorten(JSON.stringify(part)) : String(part))).join(' ');
  console.log(`   ${dim('→')} ${text}`);
}

const shorten = (text) => text.replaceAll(/(ghs_[A-Za-z0-9_-]{4})[A-Za-z0-9_-]+/g, '$1…');

export function summary(checks, seconds) {
  const held = checks.filter(({ holds }) => holds).length;
  console.log(`\n${bold(`${held} of ${checks.length} expectations held`)} ${dim(`(${seconds.toFixed(1)} s)`)}`);
  for (const { what } of checks.filter(({ holds }) => !holds)) bad(what);
}
