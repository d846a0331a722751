// The entry point of both steps. The runner starts this file twice: at its place in the job, and at the end of the job, with the state
// that the first run saved.

import { obtain } from './obtain.mjs';
import { Refusal } from './refusal.mjs';
import { end } from './end.mjs';
import { Runner } from './runner.mjs';

const runner = new Runner(process.env, (text) => process.stdout.write(text));
if (runner.state('phase') === 'end') {
  await end(runner);
} else {
  try {
    await obtain(runner);
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof Refusal) error.tell(runner);
    else runner.error(error.message);
  }
}
