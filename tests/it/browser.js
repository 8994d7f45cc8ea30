// Everything that a page can try on a server, and what the page learns from each: the status of an
// answer that it may read, "hidden" if there was an answer, "failed" if it does not know even that.
async (server) => {
  const agents = `${server}/v1/agents`;
  const intruder = JSON.stringify({ name: "intruder", provider: "offline", model: "echo" });
  const post = { method: "POST", body: intruder };
  const json = { "Content-Type": "application/json" };
  const upload = new FormData();
  upload.append("component", new Blob(["\0asm"]), "component.wasm");

  const fetched = (path, options) =>
    fetch(agents + path, options).then((answer) => answer.status || "hidden", () => "failed");

  const loaded = (name, attributes) => new Promise((resolve) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.onload = () => resolve("hidden");
    element.onerror = () => resolve("failed");
    document.body.append(element);
  });

  const submitted = (path, enctype, fields) => new Promise((resolve) => {
    const frame = Object.assign(document.createElement("iframe"), { name: enctype });
    const form = Object.assign(document.createElement("form"), { action: agents + path, method: "post", enctype });
    form.target = frame.name;
    for (const [name, value] of fields) {
      form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(frame, form);
    frame.onload = () => resolve("hidden");
    form.submit();
  });

  const streamed = () => new Promise((resolve) => {
    const stream = new EventSource(`${server}/v1/events/stream?after=0`);
    const end = (outcome) => { stream.close(); resolve(outcome); };
    stream.onopen = () => end(200);
    stream.onerror = () => end("failed");
  });

  return {
    read: await fetched(""),
    read_blindly: await fetched("", { mode: "no-cors" }),
    read_as_script: await loaded("script", { src: agents }),
    read_as_image: await loaded("img", { src: agents }),
    read_in_frame: await loaded("iframe", { src: agents }),
    follow: await streamed(),
    create: await fetched("", { ...post, headers: json }),
    create_blindly: await fetched("", { ...post, mode: "no-cors" }),
    create_by_form: await submitted("", "text/plain", [[`{"name":"intruder","model":"echo","provider":"`, `offline"}`]]),
    create_by_beacon: navigator.sendBeacon(agents, new Blob([intruder], { type: "text/plain" })) && "hidden",
    reset: await fetched("/ada/reset", { method: "POST", mode: "no-cors" }),
    reset_by_form: await submitted("/ada/reset", "application/x-www-form-urlencoded", []),
    install: await fetched("/ada/skills/install", { method: "POST", mode: "no-cors", body: upload }),
    install_by_form: await submitted("/ada/skills/install", "multipart/form-data", [["component", "x"]]),
    bootstrap: await fetch(`${server}/v1/auth/tokens`, { method: "POST", headers: json, body: `{"scopes":["*"]}` })
      .then((answer) => answer.status || "hidden", () => "failed"),
    bootstrap_blindly: await fetched("/../auth/tokens", { method: "POST", mode: "no-cors", body: `{"scopes":["*"]}` }),
    remove: await fetched("/ada", { method: "DELETE" }),
  };
}
