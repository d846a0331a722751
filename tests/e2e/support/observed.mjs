// A Durable Object of the Worker that a test can look into.

/** The text of a class `Observed`: it passes everything on to the Worker's own class, except a question about its storage. */
export const observed = (name) => `
  import { ${name} } from './index.js';
  export class Observed {
    constructor(state, env) { this.state = state; this.object = new ${name}(state, env); }
    async fetch(request) {
      if (!request.url.endsWith('/stored')) return this.object.fetch(request);
      const { storage } = this.state;
      return Response.json({ entries: [...storage.kv.list()], alarm: await storage.getAlarm() });
    }
    alarm() { return this.object.alarm(); }
  }`;
