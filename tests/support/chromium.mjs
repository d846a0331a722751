// A real browser for tests: Chromium without a window, driven over two pipes by its own protocol
// (https://chromedevtools.github.io/devtools-protocol/). It reaches this machine and nothing else.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const PATIENCE_MS = 30_000;

/** The path of a browser on this machine, `CHROMIUM` before all; `undefined` where there is none. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Options of a test that needs the browser: skipped, with the reason, on a machine of a person who has none. In CI
 * `scripts/setup.sh` installs one, so there a missing one fails the test.
 */
export const needsChromium = () =>
  findChromium() === undefined && process.env.CI !== 'true' ? { skip: 'no Chromium: install one, or name it in CHROMIUM' } : {};

export class Chromium {
  /** What pages wrote to the console, and what their security policy refused. */
  complaints = [];

  #process;
  #profile = mkdtempSync(join(tmpdir(), 'octo-sts-chromium-'));
  #waiting = new Map();
  #last = 0;
  #listeners = new Set();

  static async start() {
    const browser = new Chromium();
    const path = findChromium();
    if (path === undefined) throw new Error('there is no Chromium on this machine');
    browser.#process = spawn(
      path,
      [
        ...['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${browser.#profile}`, '--window-size=920,760'],
        ...['--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--hide-scrollbars', '--force-color-profile=srgb'],
        // Loopback goes past a proxy; everything else ends at one that is not there.
        ...['--proxy-server=127.0.0.1:9', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
        // Its sandbox needs what containers and root do not have. The pages are the tests' own.
        '--no-sandbox',
      ],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    );
    let text = '';
    browser.#process.stdio[4].setEncoding('utf8').on('data', (part) => {
      text += part;
      const messages = text.split('\0');
      text = messages.pop();
      for (const message of messages) browser.#receive(JSON.parse(message));
    });
    return browser;
  }

  #receive({ id, method, params, sessionId, result, error }) {
    if (id === undefined) {
      for (const listener of this.#listeners) listener({ method, params, sessionId });
      return;
    }
    const { resolve, reject, call } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (error) reject?.(new Error(`${call}: ${error.message}`));
    else resolve?.(result);
  }

  /** One command of the protocol. */
  send(method, params = {}, sessionId = undefined) {
    const id = (this.#last += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, call: method });
      this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** A new tab that shows an address. */
  async open(url) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.#listeners.add((event) => {
      if (event.sessionId !== sessionId) return;
      if (event.method === 'Log.entryAdded') this.complaints.push(event.params.entry.text);
    });
    for (const domain of ['Page', 'Runtime', 'Log']) await this.send(`${domain}.enable`, {}, sessionId);
    await page.send('Page.navigate', { url });
    await page.until('document.readyState === "complete" && location.href !== "about:blank"');
    return page;
  }

  async close() {
    const ended = once(this.#process, 'exit');
    await Promise.race([this.send('Browser.close').catch(() => {}), sleep(2000)]);
    if (this.#process.exitCode === null) this.#process.kill();
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  #browser;
  #session;

  constructor(browser, session) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  /** The value of an expression in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true; the page may change meanwhile. */
  async until(expression) {
    for (let waited = 0; waited < PATIENCE_MS; waited += 50) {
      if (await this.value(expression).catch(() => false)) return;
      await sleep(50);
    }
    throw new Error(`never true in the page: ${expression}; it shows: ${await this.text().catch(() => 'nothing')}`);
  }

  /** What somebody reads. */
  text() {
    return this.value('document.body.innerText');
  }

  /** Presses the mouse in the middle of an element, where somebody would. */
  async click(selector) {
    const place = `(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = e.getBoundingClientRect(); return { x: x + width / 2, y: y + height / 2, is: e.contains(document.elementFromPoint(x + width / 2, y + height / 2)) }; })()`;
    const { x, y, is } = await this.value(place);
    if (!is) throw new Error(`something lies over ${selector}`);
    for (const type of ['mousePressed', 'mouseReleased']) await this.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 });
  }

  /** A picture of all of it, as PNG. */
  async picture(file) {
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true });
    writeFileSync(file, Buffer.from(data, 'base64'));
  }
}
