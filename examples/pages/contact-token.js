Vestibule.init({
  token: "WIDGET_TOKEN",
  user: {
    // Your own backend knows who is signed in by your own session; see `_vouch` in serve.py.
    async getToken() {
      const answer = await fetch("/widget-token");
      if (!answer.ok) throw new Error("the backend did not vouch");
      return (await answer.json()).token;
    },
  },
});

// With your own sign-out, the chat's as well.
document.getElementById("out").addEventListener("click", () => Vestibule.logout());
