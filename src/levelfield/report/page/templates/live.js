(() => {
  // A page that is served while its study runs: what is told is shown at once, and a new page takes the old one's place.
  const standing = document.getElementById("standing");
  const trouble = standing.querySelector(".trouble");
  const say = (words) => { trouble.textContent = words; trouble.hidden = !words; };
  let shown = null, wanted = null;

  const replace = (fresh) => {
    const name = (summary) => summary.textContent.replace(/\d+/g, "");  // "12 trials" are 13 by now
    const opened = new Set([...document.querySelectorAll("details[open] > summary")].map(name));
    for (const part of ["header", "main"]) {
      document.querySelector(`body > ${part}`).replaceWith(fresh.querySelector(`body > ${part}`));
    }
    document.title = fresh.title;
    standing.querySelector("p").replaceWith(fresh.querySelector("#standing p"));
    for (const summary of document.querySelectorAll("details > summary")) summary.parentElement.open = opened.has(name(summary));
    document.dispatchEvent(new Event("replaced"));
  };
  const fetched = async () => {
    while (shown !== wanted) {
      const asked = wanted;
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      shown = asked;
    }
  };
  let busy = false;
  const source = new EventSource(standing.dataset.events);
  source.addEventListener("standing", async (event) => {
    const told = JSON.parse(event.data);
    say(told.trouble);
    wanted = told.page;
    if (busy) return;
    busy = true;
    try { await fetched(); } catch { say("The page could not be fetched anew; what stands here is older."); }
    busy = false;
  });
  source.addEventListener("error", () => say("Nobody serves this page any more: what stands here is as it was then."));
})();
