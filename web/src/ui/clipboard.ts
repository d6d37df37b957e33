/** Puts text onto the clipboard, also on a page that came over plain HTTP from another host. */
export async function copy(text: string): Promise<void> {
  const { clipboard } = navigator as { clipboard?: Clipboard };
  if (clipboard !== undefined) {
    await clipboard.writeText(text);
    return;
  }
  const listener = (event: ClipboardEvent) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", listener);
  try {
    // Deprecated, and the only way where the page's address is not a secure one.
    if (!document.execCommand("copy")) throw new Error("the browser does not allow it");
  } finally {
    document.removeEventListener("copy", listener);
  }
}
