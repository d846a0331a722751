// What the runner and a step exchange: inputs, state, outputs, masks, annotations, the summary.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands

import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';

/** GitHub drops a larger summary entirely. */
const MAX_SUMMARY = 1024 * 1024;

export class Runner {
  #environment;
  #write;

  constructor(environment, write) {
    this.#environment = environment;
    this.#write = write;
  }

  /** A variable of the runner, or `undefined` if it is not set or empty. */
  variable(name) {
    return this.#environment[name] || undefined;
  }

  /** An input without surrounding white space, or `undefined` if it is not set or empty. */
  input(name) {
    return this.variable(`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`)?.trim() || undefined;
  }

  /** What the first step saved for the last one. */
  state(name) {
    return this.variable(`STATE_${name}`);
  }

  save(name, value) {
    this.#append('GITHUB_STATE', name, value);
  }

  output(name, value) {
    this.#append('GITHUB_OUTPUT', name, value);
  }

  /** From now on, the runner prints `***` instead of this text. */
  mask(secret) {
    this.#write(`::add-mask::${escaped(secret)}\n`);
  }

  info(text) {
    this.#write(`${harmless(text)}\n`);
  }

  /** A collapsed section of the log. */
  group(title, text) {
    this.#write(`::group::${escaped(title)}\n`);
    this.info(text);
    this.#write('::endgroup::\n');
  }

  warning(text) {
    this.#write(`::warning title=octo-sts::${escaped(text)}\n`);
  }

  error(text) {
    this.#write(`::error title=octo-sts::${escaped(text)}\n`);
  }

  /** Adds to the page of the run. Some runners have no summaries; there, the log has to suffice. */
  summary(markdown) {
    const file = this.variable('GITHUB_STEP_SUMMARY');
    if (file && Buffer.byteLength(markdown) < MAX_SUMMARY) appendFileSync(file, `${markdown}\n`);
  }

  #append(variable, name, value) {
    const file = this.variable(variable);
    if (!file) throw new Error(`\`${variable}\` is not set: this action runs in a job of GitHub Actions`);
    // The random delimiter keeps a value from ending itself early.
    const end = `end_${randomBytes(16).toString('hex')}`;
    appendFileSync(file, `${name}<<${end}\n${value}\n${end}\n`);
  }
}

/** The rest of a workflow command. */
function escaped(text) {
  return String(text).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

/** A line of the log that cannot be a command, whoever wrote it: no `::name::` at its start and no `##[name]` anywhere. */
function harmless(text) {
  return String(text)
    .replaceAll('##[', '# #[')
    .split(/\r\n|\r|\n/)
    .map((line) => (line.trimStart().startsWith('::') ? `. ${line}` : line))
    .join('\n');
}
