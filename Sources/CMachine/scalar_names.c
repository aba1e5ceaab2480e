// Swift's library knows the name of every character of Unicode ("LATIN SMALL LETTER A"): half a
// megabyte of tables that nothing here ever asks for. Package.swift has the linker put this in the
// place of the one function that reads them, and then leaves them out: no character has a name.

#include <stdint.h>

intptr_t __wrap__swift_stdlib_getScalarName(uint32_t scalar, uint8_t *name, intptr_t room);

intptr_t __wrap__swift_stdlib_getScalarName(uint32_t scalar, uint8_t *name, intptr_t room)
{
    (void)scalar;
    (void)name;
    (void)room;
    return 0;
}
