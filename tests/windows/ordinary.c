/* Runs a program as a user who is no administrator: `ordinary.exe PROGRAM ARGUMENTS…`. The group of administrators is on the token for denials alone, as
   Windows has it before User Account Control was asked. */
#include <stdio.h>
#include <windows.h>

static int failed(const char *what) {
  fprintf(stderr, "ordinary: %s: error %lu\n", what, GetLastError());
  return 125;
}

int main(int count, char **given) {
  char line[8192] = "";
  BYTE group[SECURITY_MAX_SID_SIZE];
  DWORD length = sizeof group, code = 125;
  HANDLE own, restricted;
  STARTUPINFOA start = {.cb = sizeof start};
  PROCESS_INFORMATION process;
  for (int at = 1; at < count; at++)
    if (strlen(line) + strlen(given[at]) + 4 < sizeof line) strcat(strcat(strcat(line, at > 1 ? " \"" : "\""), given[at]), "\"");
  if (!CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, group, &length)) return failed("the group");
  SID_AND_ATTRIBUTES denied = {group, 0};
  if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &own)) return failed("the token");
  if (!CreateRestrictedToken(own, 0, 1, &denied, 0, NULL, 0, NULL, &restricted)) return failed("the restricted token");
  if (!CreateProcessAsUserA(restricted, NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process)) return failed(line);
  WaitForSingleObject(process.hProcess, INFINITE);
  GetExitCodeProcess(process.hProcess, &code);
  return code;
}
