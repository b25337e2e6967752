// The live parts of a page: what changed is sent, and put where it belongs. All else works without.
"use strict";

(() => {
  const live = document.getElementById("live");

  const say = (text, state) => {
    live.hidden = false;
    live.textContent = text;
    live.className = "live " + state;
  };

  const element = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  // What has the focus keeps it when its element is replaced.
  const focusIn = (old) => {
    const focused = document.activeElement;
    if (!old || !focused || !old.contains(focused)) return () => {};
    const href = focused.getAttribute("href");
    const tag = focused.tagName;
    return (fresh) => {
      const same = [...fresh.querySelectorAll(tag)].find((e) => e.getAttribute("href") === href);
      if (same) same.focus({ preventScroll: true });
    };
  };

  const apply = (patch) => {
    const box = document.getElementById(patch.id);
    if (!box) return;
    if (patch.frame) {
      box.innerHTML = patch.frame;
      document.title = patch.title + " · Waggle";
      return;
    }
    const old = patch.whole ? new Map([...box.children].map((e) => [e.id, e])) : null;
    if (patch.whole) {
      const all = document.createDocumentFragment();
      const refocus = [];
      for (const put of patch.put || []) {
        const fresh = element(put.html);
        refocus.push([focusIn(old.get(put.id)), fresh]);
        all.append(fresh);
      }
      box.replaceChildren(all);
      for (const [focus, fresh] of refocus) focus(fresh);
      return;
    }
    for (const id of patch.drop || []) document.getElementById(id)?.remove();
    for (const put of patch.put || []) {
      const before = document.getElementById(put.id);
      const focus = focusIn(before);
      const open = before ? [...before.querySelectorAll("details")].map((d) => d.open) : [];
      const fresh = element(put.html);
      before?.remove();
      const after = put.after && document.getElementById(put.after);
      if (after) after.after(fresh);
      else box.prepend(fresh);
      fresh.querySelectorAll("details").forEach((d, i) => { d.open = Boolean(open[i]); });
      fresh.classList.add("changed");
      focus(fresh);
    }
  };

  const address = location.pathname + location.search;
  const firstPause = 1000;
  const longestPause = 15000;

  const follow = (pause) => {
    const source = new EventSource("/live?of=" + encodeURIComponent(address) + "&at=" + document.body.dataset.at);
    source.addEventListener("open", () => {
      pause = firstPause;
      say("live", "on");
    });
    source.addEventListener("error", () => {
      say("not live, trying again", "off");
      // After a refusal, such as that of a proxy without a console, a browser does not ask again.
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, pause, Math.min(2 * pause, longestPause));
    });
    source.addEventListener("patch", (event) => {
      say("live", "on");
      for (const patch of JSON.parse(event.data)) apply(patch);
      document.body.dataset.at = event.lastEventId;
    });
  };
  follow(firstPause);

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    document.getElementById("q").focus();
  });
})();
