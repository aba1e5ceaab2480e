#define _GNU_SOURCE
#include "CMachine.h"

#include <sys/socket.h>

int nt_accept(int listener)
{
    return accept4(listener, 0, 0, SOCK_CLOEXEC);
}
