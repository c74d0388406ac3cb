/* Reads a file slowly, as the guest agent may at any moment: `hold.exe FILE` keeps it open, says so, and lets it go a moment after somebody began to write
   FILE.new, which is to take its place. */
#include <stdio.h>
#include <windows.h>

int main(int count, char **given) {
  char new[MAX_PATH];
  if (count != 2 || snprintf(new, sizeof new, "%s.new", given[1]) >= (int)sizeof new) return 2;
  HANDLE file = CreateFileA(given[1], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) {
    fprintf(stderr, "hold: %s: error %lu\n", given[1], GetLastError());
    return 1;
  }
  puts("held");
  fflush(stdout);
  for (int look = 0; look < 3000 && GetFileAttributesA(new) == INVALID_FILE_ATTRIBUTES; look++) Sleep(20);
  Sleep(1000);
  CloseHandle(file);
  return 0;
}
