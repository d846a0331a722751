// What the runtimes of this process hold in memory, as the kernel counts it.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MB = 1024 * 1024;

/** Resident bytes of every workerd that this process has started; without the pages of files, which nobody allocated. */
function held() {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ');
  const runtimes = children.filter((pid) => pid !== '' && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('workerd'));
  if (runtimes.length === 0) throw new Error('no workerd runs');
  const kilobytes = runtimes.map((pid) => Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]));
  return kilobytes.reduce((sum, value) => sum + value, 0) * 1024;
}

/** By how many MB memory grew at most while `work` ran. */
export async function growthWhile(work) {
  const before = held();
  let most = before;
  let isOver = false;
  const sampling = (async () => {
    while (!isOver) {
      most = Math.max(most, held());
      await sleep(10);
    }
  })();
  try {
    await work();
  } finally {
    isOver = true;
    await sampling;
  }
  return (Math.max(most, held()) - before) / MB;
}
