// What arrived at an org, for the test that reads it.
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';

const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]);

export function endToEnd(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

// Serves every request by `serve(req, res, body, entry)`, and enters each when it arrives; its
// status is read late, since oidc-provider sets it on its own.
export function journaled(server, host, serve) {
  const journal = [];

  function enter(req, res) {
    const { pathname, search } = new URL(req.url, `https://${host}`);
    const entry = {
      method: req.method,
      path: pathname,
      query: search.slice(1),
      host: req.headers.host ?? null,
      client: null,
      token: null,
      scope: null,
      reason: null,
      secrets: [],
      fields: req.rawHeaders,
      body_sha256: null,
      get status() {
        return res.headersSent ? res.statusCode : null;
      },
    };
    journal.push(entry);
    return entry;
  }

  async function take(req, res) {
    const entry = enter(req, res);
    const body = await buffer(req);
    entry.body_sha256 = createHash('sha256').update(body).digest('hex');
    await serve(req, res, body, entry);
  }

  server.on('request', (req, res) => {
    take(req, res).catch((error) => {
      console.error(error);
      res.destroy(error);
    });
  });
  return journal;
}
