// The page behind nginx, under a path, in a real browser: with the README's configuration.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { openTab, startBrowser, startServer } from "./kit.mjs";

/** The address from which nginx connects to the server, so that it is another one than a client's. */
const PROXY = "127.0.0.2";

let port;
let server;
let nginx;
let directory;

async function freePort() {
  const socket = createServer().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

async function until(condition, describe) {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, describe());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

before(async () => {
  port = await freePort();
  server = await startServer(
    ["--http-host", `127.0.0.1:${port}`, "--http-trusted-proxy", PROXY, "--log", "debug"],
  );
  directory = await mkdtemp(path.join(tmpdir(), "chanwire-nginx-"));
  const readme = await readFile(path.join(import.meta.dirname, "../../README.md"), "utf8");
  const location = /```nginx\n(location \/inspector\/ [^`]*)```/.exec(readme)[1];
  const file = path.join(directory, "nginx.conf");
  await writeFile(
    file,
    `daemon off; pid ${directory}/pid; error_log ${directory}/log; events {}
     http {
       access_log off;
       ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`).join("\n")}
       server {
         listen 127.0.0.1:${port};
         proxy_bind ${PROXY};
         ${location.replace("http://127.0.0.1:22280", server.origin)}
       }
     }`,
  );
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  nginx = spawn("nginx", ["-c", file], { stdio: "inherit", env });
  const answers = () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
  await until(answers, () => "nginx does not answer: run 'apt-get install nginx' as root");
});

after(async () => {
  if (nginx) {
    const gone = once(nginx, "exit");
    nginx.kill("SIGTERM");
    await gone;
  }
  await server?.stop();
  if (directory) await rm(directory, { recursive: true, force: true });
});

test("the page works under a path", async () => {
  const browser = await startBrowser();
  try {
    const tab = await openTab(browser);
    await tab.open(`http://127.0.0.1:${port}/inspector/#token=${server.token}`);
    await tab.connect();
    await tab.sendRaw("LIST\\r\\n");
    await tab.row({ head: "OK" }).first().waitFor();
    await tab.finish();
  } finally {
    await browser.close();
  }
});

/** Asks for the bridge through nginx, as no browser would. */
async function askForBridge(headers) {
  const asked = request({
    host: "127.0.0.1",
    port,
    path: "/inspector/bridge",
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      Origin: `http://127.0.0.1:${port}`,
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
      ...headers,
    },
  }).end();
  return Promise.race([
    once(asked, "upgrade").then(([, socket]) => (socket.destroy(), 101)),
    once(asked, "response").then(([response]) => (response.destroy(), response.statusCode)),
  ]);
}

test("host and origin are checked behind the proxy too", async () => {
  assert.equal(await askForBridge({}), 101);
  assert.equal(await askForBridge({ Origin: "http://evil.example" }), 403);
  assert.equal(await askForBridge({ Host: "evil.example", Origin: "http://evil.example" }), 421);
});

test("a forged X-Forwarded-For is ignored", async () => {
  const before = server.log().length;
  const newLines = () => server.log().slice(before);
  assert.equal(await askForBridge({ "X-Forwarded-For": "198.51.100.1" }), 101);
  await until(() => newLines().includes("a bridge was refused"), newLines);
  assert.match(newLines(), /client=127\.0\.0\.1/);
  assert.doesNotMatch(newLines(), /198\.51\.100\.1/);
});
