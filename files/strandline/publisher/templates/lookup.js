// Looks one address up: fetches the file of its /8 and shows the lines that are about it. Everything that is shown is text. The address
// stands behind the page's #, which a browser keeps to itself: the site does not learn it.
"use strict";

const result = document.getElementById("result");
// Returns {address, shard} as the files have them, or {problem}.
function understand(text) {
  if (text.length > 100) return { problem: "That is too long for an address." };
  if (text.includes("/")) return { problem: "That is a network. Ask for one address of it, or search the files yourself: see below." };
  const four = text.replace(/^::ffff:(?=[0-9.]+$)/i, "");
  if (/^[0-9.]+$/.test(four)) {
    const parts = four.split(".");
    if (parts.length === 4 && parts.every(part => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256))
      return { address: four, shard: parts[0] };
    return { problem: "That is no IPv4 address: it needs four numbers from 0 to 255, like 192.0.2.7." };
  }
  if (text.includes(":")) {
    try {
      // The browser writes it as the files have it (RFC 5952).
      const six = new URL("http://[" + text + "]/").hostname.slice(1, -1);
      return { address: six, shard: "v6-" + (six.split(":")[0] || "0").padStart(4, "0").slice(0, 2) };
    } catch (error) {
      return { problem: "That is no IPv6 address." };
    }
  }
  return { problem: "That is no address. Names are not looked up: ask for the address that the name leads to." };
}

function add(parent, kind, text) {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function time(text) {
  return text.slice(0, 10) + " " + text.slice(11, 19) + " UTC";
}

function show(address, rows, feeds) {
  add(result, "h2", address);
  if (!rows.length) {
    add(result, "p", "It is in none of the feeds: not seen within the last seven days, or not published (see the first page for what never is).");
    return;
  }
  const system = rows.find(row => row.asn !== null);
  add(result, "p", system ? "AS" + system.asn + ", " + system.name : "Its autonomous system is not known.");
  for (const row of rows) {
    const feed = feeds.get(row.category);
    add(result, "h3", feed ? feed.title : row.category);
    add(result, "p", (feed ? feed.description + " " : "") + "Feed " + row.category + ".");
    const list = add(result, "dl");
    const terms = [
      ["Seen", row.first_seen === row.last_seen ? time(row.last_seen) : "from " + time(row.first_seen) + " to " + time(row.last_seen)],
      ["Events", String(row.events)],
      ["Evidence", row.verified ? row.verified_events + " of them with the source proven to be real: a TCP handshake, or a cookie or nonce that came back."
        : "Only packets whose source may be forged. Somebody else may have sent them in this address's name."],
    ];
    if (typeof row.confidence === "number" && row.valid_until)
      terms.push(["Confidence", row.confidence + ": how likely it is to be seen again within 24 hours. Worth acting on until " + time(row.valid_until) + "."]);
    for (const [term, text] of terms) {
      add(list, "dt", term);
      add(list, "dd", text);
    }
  }
}

async function find(address, shard) {
  const [lines, list] = await Promise.all([fetch("lookup/" + shard + ".ndjson"), fetch("feeds.json")]);
  if (!list.ok || !(lines.ok || lines.status === 404)) throw new Error("HTTP " + (list.ok ? lines : list).status);
  const known = await list.json();
  if (!known.lookup) throw new Error("this hour has no look-up");
  const feeds = new Map(known.feeds.map(feed => [feed.category, feed]));
  const wanted = '"address": "' + address + '"';
  const text = lines.ok ? await lines.text() : "";
  show(address, text.split("\n").filter(line => line.includes(wanted)).map(line => JSON.parse(line)), feeds);
}

function look() {
  const asked = (new URLSearchParams(location.hash.slice(1)).get("address") || "").trim();
  result.replaceChildren();
  if (!asked) return;
  document.getElementById("address").value = asked;
  const { address, shard, problem } = understand(asked);
  if (problem) {
    add(result, "p", problem);
    return;
  }
  result.setAttribute("aria-busy", "true");
  find(address, shard)
    .catch(error => add(result, "p", "The site did not answer as it should (" + error.message + "). Try again in a minute."))
    .finally(() => result.removeAttribute("aria-busy"));
}

document.querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  location.hash = new URLSearchParams({ address: document.getElementById("address").value });
});
addEventListener("hashchange", look);
look();
