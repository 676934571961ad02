for (const form of document.querySelectorAll("form")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const out = form.querySelector("output");
    const headers = {};
    const token = document.getElementById("token");
    if (token && token.value) headers.Authorization = "Bearer " + token.value;
    const body = form.querySelector("textarea");
    if (body) headers["Content-Type"] = "application/json";
    out.textContent = "…";
    try {
      const answer = await fetch(form.dataset.path, { method: body ? "POST" : "GET", headers, body: body ? body.value : undefined });
      let text = await answer.text();
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
      out.textContent = answer.status + " " + answer.statusText + "\n" + text;
    } catch (error) {
      out.textContent = String(error);
    }
  });
}
