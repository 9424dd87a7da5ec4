"use strict";
// Two small comforts; without them the page shows the same facts. Values under the pointer or focus, and sounds as waveforms.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  const show = (target, x, y) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - box.width - 8);
    const top = y - box.height - 12 > 8 ? y - box.height - 12 : y + 18;
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  };
  document.addEventListener("pointermove", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (target) show(target, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  let playing = null;
  for (const sound of document.querySelectorAll(".sound")) {
    const audio = sound.querySelector("audio");
    const bars = [...sound.querySelectorAll(".wave rect")];
    const button = document.createElement("button");
    button.type = "button";
    const label = audio.getAttribute("aria-label");
    const draw = () => {
      const share = audio.duration ? audio.currentTime / audio.duration : 0;
      bars.forEach((bar, index) => bar.classList.toggle("heard", index < share * bars.length));
      button.classList.toggle("on", !audio.paused);
      button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"}: ${label}`);
      if (!audio.paused) requestAnimationFrame(draw);
    };
    button.addEventListener("click", () => {
      if (!audio.paused) { audio.pause(); return; }
      if (playing && playing !== audio) playing.pause();
      playing = audio;
      audio.play().catch(() => { audio.controls = true; sound.classList.remove("ready"); button.remove(); });
    });
    for (const name of ["play", "pause", "ended", "seeked"]) audio.addEventListener(name, draw);
    sound.querySelector(".wave").addEventListener("click", (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      if (audio.duration) audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration;
    });
    audio.controls = false;
    sound.classList.add("ready");
    sound.prepend(button);
    draw();
  }
})();
