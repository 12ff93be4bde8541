// Keeps the files of this folder, so that the page works offline. The line above names them, and their version.

// Several pages may lie on one server.
const OURS = `jaxlm ${self.registration.scope} `, CACHE = OURS + SITE.version;

self.addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(SITE.files.map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => {
  const takeOver = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(takeOver());
});

self.addEventListener("fetch", (event) => {
  const answer = async () => (await (await caches.open(CACHE)).match(event.request)) ?? fetch(event.request);
  if (event.request.method === "GET") event.respondWith(answer());
});
