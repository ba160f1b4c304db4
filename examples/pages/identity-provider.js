// A page of yours has the token from its OpenID Connect library; here it is pasted. Who was a guest until now is
// verified from here on, in the middle of the chat and without a reload.
document.getElementById("sign-in").addEventListener("click", async () => {
  const outcome = document.getElementById("outcome");
  try {
    const contact = await Vestibule.identify({ idToken: document.getElementById("token").value });
    outcome.textContent = `Signed in as ${contact.name || contact.id}.`;
  } catch (error) {
    outcome.textContent = error.message;
  }
});
