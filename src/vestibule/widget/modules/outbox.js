// Keeps what the visitor has written until the service has it, over reloads and lost networks; it sends nothing. Each
// message has the id under which the service stores it once, however often it comes.

export class Outbox {
  /** `shelf` is where it lies, or null where nobody knows yet whose it is: then in memory. */
  constructor(shelf, owner) {
    this.shelf = shelf;
    this.name = `outbox:${owner}`;
    this.items = [];
    this.read();
  }

  read() {
    if (this.shelf) this.items = this.shelf.get(this.name) || [];
  }

  add(item) {
    this.read();
    this.items.push(item);
    this.write();
  }

  change(id, members) {
    this.read();
    const found = this.items.find((item) => item.id === id);
    if (found) Object.assign(found, members);
    this.write();
  }

  remove(id) {
    this.read();
    this.items = this.items.filter((item) => item.id !== id);
    this.write();
  }

  write() {
    this.shelf?.set(this.name, this.items.length && this.items);
  }

  next() {
    this.read();
    return this.items.find((item) => item.state === "waiting");
  }

  /** One tab at a time, where the browser can say so; elsewhere the ids alone keep a message from being stored twice. It
   *  may refuse locks where it blocks storage: no reason to send nothing. */
  alone(work) {
    let working = null;
    const once = () => (working = working || work());
    return navigator.locks ? navigator.locks.request(`vestibule-${this.name}`, once).catch(once) : work();
  }
}
