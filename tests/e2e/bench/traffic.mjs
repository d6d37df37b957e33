// Traffic that is made up, the same in every run.

const encoder = new TextEncoder();

/** The size of one read. */
const CHUNK = 65_536;

/** A thousand requests of about this size, as chunks of a stream (in base64, since that is what crosses to the page). */
export function frames(size) {
  const parts = [];
  for (let i = 0; i < 1000; i += 1) {
    const frame = (text) => `MESSAGE\r\n{"username": "user${i}", "message_content": "${text}"}`;
    const words = `number ${i} says \\"hello\\" and goes on, `;
    const room = size - frame("").length;
    const text = words.repeat(Math.ceil(room / words.length)).slice(0, room);
    parts.push(frame(text.replace(/\\$/, " ")));
  }
  const stream = Buffer.from(encoder.encode(parts.join("")));
  const chunks = [];
  for (let at = 0; at < stream.length; at += CHUNK) chunks.push(stream.subarray(at, at + CHUNK).toString("base64"));
  return { chunks, count: 1000 };
}

/** A pcap of 100 MB, raw IP: connections that take turns, in each of them requests and answers by turns. */
export function capture100(connections = 1) {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(101, 20);
  const packets = [header];
  let size = header.length;
  // The position of each side of each connection.
  const sequences = Array.from({ length: connections }, () => [1, 1]);
  const request = (i) =>
    Buffer.from(`MESSAGE\r\n{"username": "user${i % 1000}", "message_content": "Hello number ${i}, and how are you?"}`);
  const answer = Buffer.from('OK\r\n{"status": "delivered", "timestamp": "2023-11-02T15:04:32Z"}');
  for (let i = 0; size < 100_000_000; i += 1) {
    const side = i % 2;
    const connection = Math.floor(i / 2) % connections;
    // Ten in one segment.
    const payload = Buffer.concat(Array.from({ length: 10 }, (_, k) => (side === 0 ? request(i * 5 + k) : answer)));
    const packet = segment(connection, side, sequences[connection], payload, i);
    packets.push(packet);
    size += packet.length;
  }
  return Buffer.concat(packets);
}

function segment(connection, side, sequence, payload, i) {
  const packet = Buffer.alloc(16 + 40);
  const length = 40 + payload.length;
  packet.writeUInt32LE(1_700_000_000 + Math.floor(i / 10_000), 0);
  packet.writeUInt32LE((i % 10_000) * 100, 4);
  packet.writeUInt32LE(length, 8);
  packet.writeUInt32LE(length, 12);
  const ip = packet.subarray(16);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(length, 2);
  ip.writeUInt8(64, 8);
  ip.writeUInt8(6, 9);
  // A thousand clients at each address.
  const client = [192, 0, 2, 7 + Math.floor(connection / 1000)];
  const server = [192, 0, 2, 1];
  ip.set(side === 0 ? [...client, ...server] : [...server, ...client], 12);
  const tcp = ip.subarray(20);
  const port = 50_123 + (connection % 1000);
  tcp.writeUInt16BE(side === 0 ? port : 22_236, 0);
  tcp.writeUInt16BE(side === 0 ? 22_236 : port, 2);
  tcp.writeUInt32BE(sequence[side] >>> 0, 4);
  tcp.writeUInt32BE(sequence[1 - side] >>> 0, 8);
  tcp.writeUInt8(0x50, 12);
  tcp.writeUInt8(0x18, 13);
  tcp.writeUInt16BE(65_535, 14);
  sequence[side] += payload.length;
  return Buffer.concat([packet, payload]);
}
