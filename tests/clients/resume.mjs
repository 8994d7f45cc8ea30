// Follows a stream of events with a client that knows nothing of this server, and prints the id of each event,
// up to so many. What breaks a connection is the client's own affair.
import { EventSource } from "eventsource";

const [url, type, many] = process.argv.slice(2);
const source = new EventSource(url);
let [seen, opened] = [0, 0];
source.addEventListener("open", () => (opened += 1));
// After an answer that is no stream, the client does not reconnect.
source.addEventListener("error", ({ code, message }) => {
  if (source.readyState === EventSource.CLOSED) console.error(`gave up: ${code} ${message}`);
});
source.addEventListener("stream.gap", () => console.log("gap"));
source.addEventListener(type, (event) => {
  // It may tell of events yet that came before it was closed.
  if (seen < Number(many)) console.log(event.lastEventId);
  seen += 1;
  if (seen === Number(many)) {
    source.close();
    console.error(opened);
  }
});
